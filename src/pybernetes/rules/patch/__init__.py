"""The patches of the API: JSON (RFC 6902), merge (RFC 7386), strategic merge. Pure functions on dicts."""
