"""The patches of the API: json.py (RFC 6902), merge.py (RFC 7386), strategic.py. Pure.

Inputs are never changed, but results share what is unchanged with them.

`apply()` of each gives the patched document; `three_way()` of merge and strategic makes the patch of `kubectl apply`.
"""
