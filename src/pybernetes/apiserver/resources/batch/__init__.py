"""API resources of batch."""
