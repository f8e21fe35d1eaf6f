"""What only a GPU can tell: one run of a few minutes on a machine with one, without Ray or the HTTP packages."""
