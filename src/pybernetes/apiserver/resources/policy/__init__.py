"""API resources of policy."""
