"""May they: the Node and RBAC authorizers."""
