"""Kills parts of a running service under load, breaks its models, and counts what the callers notice of it."""
