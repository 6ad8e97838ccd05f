"""The patches of the API: json.py (RFC 6902), merge.py (RFC 7386), strategic.py. Pure; inputs are never changed.

`apply()` of each gives the patched document; `three_way()` of merge and strategic makes the patch of `kubectl apply`.
"""
