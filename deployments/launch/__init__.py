"""What surrounds the start of a graph: the check of its models before, and a start for one program."""
