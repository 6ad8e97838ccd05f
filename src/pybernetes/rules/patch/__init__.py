"""The patches of the API: json.py (RFC 6902), merge.py (RFC 7386), strategic.py; server-side apply: apply.py. Pure.

Inputs are never changed, but results share what is unchanged with them.

`apply()` of each gives the patched document; `three_way()` of merge and strategic makes the patch of `kubectl apply`.

Server-side apply stands on four files: typed.py (what a schema says of owning), fields.py (sets of fields), apply.py (is a
configuration well typed, merging, removing), managers.py (who owns what, conflicts). docs/internals/apply.md tells it.
"""
