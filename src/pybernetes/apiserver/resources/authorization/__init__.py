"""API resources of authorization.k8s.io."""
