"""What can be said of a model's files before they are loaded: where they are, of which kind, and what is missing."""
