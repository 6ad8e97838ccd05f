"""API resources of scheduling.k8s.io."""
