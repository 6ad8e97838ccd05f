"""Makes the pages of docs/reference that the code itself says: what the API serves, and which behaviours are held."""
