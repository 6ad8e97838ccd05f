"""API resources of autoscaling."""
