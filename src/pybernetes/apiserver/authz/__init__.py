"""Authorizers: Node and RBAC, and the roles that every cluster has."""
