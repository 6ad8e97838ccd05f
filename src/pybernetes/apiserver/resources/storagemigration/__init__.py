"""API resources of storagemigration.k8s.io."""
