"""What is measured, against whom, and the last results. `make bench` runs all of it."""
