"""API resources of coordination.k8s.io."""
