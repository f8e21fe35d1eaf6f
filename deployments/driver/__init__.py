"""The driver: from a request to its result, by calls to the other deployments."""
