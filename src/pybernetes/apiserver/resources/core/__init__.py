"""API resources of the core group."""
