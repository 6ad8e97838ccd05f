"""Patching: PATCH bodies of three kinds, applied to the stored object; dispatched by Content-Type alone. See writes.py.

The fourth kind, server-side apply, is in applying.py.
"""

import orjson

from pybernetes.api import errors
from pybernetes.api.objects import Object
from pybernetes.apiserver.applying import MEDIA as APPLY
from pybernetes.apiserver.decoding import Document, accept, decode_json
from pybernetes.apiserver.form import Form
from pybernetes.apiserver.options import Validation
from pybernetes.rules.patch import json, merge, strategic
from pybernetes.rules.patch.document import printed
from pybernetes.wire.http import Request

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_UNFIT = " cannot be handled as a "
_KINDS = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)


class Patch:
    """A decoded patch, ready to be applied to whatever is stored, again after a lost race."""

    def __init__(self, request: Request, form: Form, validation: Validation, warnings: list[str]) -> None:
        self._media = request.media_type
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

    def apply(self, obj: Object) -> Object:
        """The canonical patched object. Raises BadRequest, Invalid."""
        value = self._document.value
        if self._media == JSON_PATCH:
            patched = json.apply(obj, value)
        elif self._media == MERGE_PATCH:
            patched = merge.apply(obj, value)
        else:
            patched = strategic.apply(obj, value, self._form.type_name)
        problems: list[str] = []
        try:
            result = accept(Document(patched, self._document.problems), self._form, "Warn", problems)
        except errors.BadRequest as error:
            raise self._refusal(
                patched, error.message.partition(f"{_UNFIT}{self._form.gvk.kind}: ")[2] or error.message
            ) from None
        if problems and self._validation == "Strict":
            raise self._refusal(patched, f"strict decoding error: {', '.join(problems)}")
        if self._validation == "Warn":
            self._warnings += [text for text in problems if text not in self._warnings]
        return result

    def _refusal(self, patched: Object, why: str) -> errors.Invalid:
        """The patch makes something that is no object of its kind: upstream shows what it saw."""
        seen = printed(self._document.value) if self._media == STRATEGIC_PATCH else orjson.dumps(patched).decode()
        return errors.invalid("", "", "", [errors.invalid_value("patch", seen, why)])
