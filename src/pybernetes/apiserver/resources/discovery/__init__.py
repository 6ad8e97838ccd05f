"""API resources of discovery.k8s.io."""
