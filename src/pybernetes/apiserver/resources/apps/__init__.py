"""API resources of apps."""
