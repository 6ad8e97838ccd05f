"""API resources of resource.k8s.io."""
