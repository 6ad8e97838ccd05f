"""API resources of rbac.authorization.k8s.io."""
