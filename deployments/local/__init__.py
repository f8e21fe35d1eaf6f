"""The service on this machine alone, for whoever wants to try it: python -m deployments.local."""
