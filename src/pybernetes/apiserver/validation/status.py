"""Writes of status: what they leave alone."""

from pybernetes.api.objects import Object


def keep_metadata(obj: Object, old: Object) -> None:
    """For writes of status that touch nothing else: what the client may change in metadata stays as stored."""
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        if field in old["metadata"]:
            obj["metadata"][field] = old["metadata"][field]
        else:
            obj["metadata"].pop(field, None)
