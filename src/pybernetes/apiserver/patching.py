"""Patching: PATCH bodies of three kinds, applied to the stored object; dispatched by Content-Type alone. See writes.py.

The fourth kind, server-side apply, is in applying.py.
"""

from pybernetes.api import errors
from pybernetes.api.objects import Object
from pybernetes.apiserver.applying import MEDIA as APPLY
from pybernetes.apiserver.decoding import Document, accept, decode_json, report
from pybernetes.apiserver.form import Form
from pybernetes.apiserver.options import Validation
from pybernetes.rules.patch import json, merge, strategic
from pybernetes.wire.http import Request

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_KINDS = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)


class Patch:
    """A decoded patch, ready to be applied to whatever is stored, again after a lost race."""

    def __init__(self, request: Request, form: Form, validation: Validation, warnings: list[str]) -> None:
        self._media = request.headers.get("content-type").partition(";")[0].strip().lower()
        kinds = _KINDS if form.type_name else _KINDS[:2]  # custom resources have no merge keys
        if self._media not in kinds:
            raise errors.UnsupportedMediaType(
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join((*kinds, APPLY))
            )
        self._document = decode_json(request.body, "error decoding patch")
        if self._media != JSON_PATCH and not isinstance(self._document.value, dict):
            raise errors.BadRequest("error decoding patch: a merge patch must be an object")
        self._form = form
        self._validation: Validation = validation
        self._warnings = warnings
        report(self._document.problems, validation, warnings)

    def apply(self, obj: Object) -> Object:
        """The canonical patched object. Raises BadRequest, Invalid."""
        value = self._document.value
        if self._media == JSON_PATCH:
            patched = json.apply(obj, value)
        elif self._media == MERGE_PATCH:
            patched = merge.apply(obj, value)
        else:
            patched = strategic.apply(obj, value, self._form.type_name)
        warnings: list[str] = []
        result = accept(Document(patched), self._form, self._validation, warnings)
        self._warnings += [text for text in warnings if text not in self._warnings]
        return result
