"""The stages of an edit, each a plain class that `graph.py` makes a Ray Serve deployment."""
