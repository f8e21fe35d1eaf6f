"""The command `retouch`. Importing the package does not import this part."""
