"""The command `retouch batch`: many edits, which a stopped run leaves in a state that the next one goes on from."""
