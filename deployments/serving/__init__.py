"""What any deployment needs and Ray Serve does not give."""
