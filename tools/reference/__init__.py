"""Makes the pages of docs/reference that the code itself says: what the API serves, which behaviours are held, what the
kubelet's configuration does, and who acts on the fields of a Pod."""
