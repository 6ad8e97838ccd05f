"""API resources of authentication.k8s.io."""
