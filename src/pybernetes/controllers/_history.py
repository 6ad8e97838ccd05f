"""What a workload once looked like: its ControllerRevisions. StatefulSets and DaemonSets keep them.

A revision's data is a patch that brings its template back, as upstream's, so that `kubectl rollout undo` sends it as it
is. Revisions are compared by their templates, never by bytes: what another release wrote counts as well.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from pybernetes.api.errors import AlreadyExists, NotFound
from pybernetes.api.objects import Key, Object
from pybernetes.api.types import apps_v1, core_v1, meta_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._claim import Claim, reference_to, selector_of
from pybernetes.controllers._expectations import PATIENCE
from pybernetes.controllers.runtime import Context
from pybernetes.rules.ownership import controller_of
from pybernetes.rules.poddefaults import default_template

Revision = apps_v1.ControllerRevision

POD_LABEL = "controller-revision-hash"
"""On Pods: a StatefulSet's have the revision's name, a DaemonSet's its hash."""
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
REMEMBERED = 2000
"""Revisions whose templates are remembered."""
NAME_MOST = 223
"""Characters of the owner's name in a revision's."""


def data_of(template: core_v1.PodTemplateSpec) -> Object:
    """The patch that brings the template back. Its names are sorted: clients compare its bytes with what they would write."""
    return {"spec": {"template": {"$patch": "replace", **msgspec.to_builtins(template, order="sorted")}}}


class Templates:
    """What revisions keep, read once each: their data never change."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[core_v1.PodTemplateSpec, core_v1.PodTemplateSpec] | None] = OrderedDict()

    def of(self, revision: Revision) -> core_v1.PodTemplateSpec | None:
        """The template as it is kept; None where the data are no such thing."""
        found = self._found(revision)
        return found[0] if found else None

    def equal(self, template: core_v1.PodTemplateSpec, revisions: Iterable[Revision]) -> list[Revision]:
        """Those that keep this template, in their order; also those that lack what a later release fills in."""
        return [r for r in revisions if (found := self._found(r)) is not None and template in found]

    def _found(self, revision: Revision) -> tuple[core_v1.PodTemplateSpec, core_v1.PodTemplateSpec] | None:
        uid = revision.metadata.uid
        if uid not in self._known:
            self._known[uid] = _read(revision)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[uid]


def _read(revision: Revision) -> tuple[core_v1.PodTemplateSpec, core_v1.PodTemplateSpec] | None:
    """The template as it is kept, and with the defaults of this release."""
    try:
        kept = dict(revision.data["spec"]["template"])
        kept.pop("$patch", None)
        plain = msgspec.convert(kept, core_v1.PodTemplateSpec)
        filled = msgspec.json.decode(msgspec.json.encode(kept))
        default_template(filled)
        return plain, msgspec.convert(filled, core_v1.PodTemplateSpec)
    except (KeyError, TypeError, ValueError):
        return None


def hash_of(template: core_v1.PodTemplateSpec, collisions: int) -> str:
    """FNV-32 of the data, in letters that make no words."""
    value = 0x811C9DC5
    text = msgspec.json.encode(data_of(template))
    for character in b"<>&":
        text = text.replace(
            bytes([character]), b"\\u%04x" % character
        )  # as Go writes it, so that the names are upstream's
    for byte in text + str(collisions).encode():
        value = ((value * 0x01000193) & 0xFFFFFFFF) ^ byte
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(value))


def behind(found: "Found | None") -> tuple[str, str]:
    """Group and resource of the cache that a look waits for: of revisions, where they were not found; else of Pods."""
    return ("apps", "controllerrevisions") if found is None else ("", "pods")


def oldest_first(revisions: Iterable[Revision]) -> list[Revision]:
    """By number, then age, then name."""
    return sorted(revisions, key=lambda r: (r.revision, r.metadata.creationTimestamp or "", r.metadata.name))


def beyond(
    revisions: Sequence[Revision], live: Collection[str], limit: int | None, counted: int | None = None
) -> list[Revision]:
    """The oldest of those whose names are not `live`, beyond the limit. A negative limit keeps all.

    The limit is for those that are not live, or for so many of all as are `counted`.
    """
    if limit is None or limit < 0:
        return []
    history = [revision for revision in oldest_first(revisions) if revision.metadata.name not in live]
    return history[: max(0, (len(history) if counted is None else counted) - limit)]


class _Written:
    """By key of the owner: the revision of the last write, which the cache must have reached, and when it was."""

    def __init__(self) -> None:
        self.reached: dict[Key, tuple[int, float]] = {}


def owner_gone(ctx: Context, owner: Key) -> None:
    """Nothing need be remembered of it."""
    ctx.state(_Written).reached.pop(owner, None)


@dataclass(frozen=True, slots=True)
class Found:
    """The revisions of an owner, oldest first."""

    known: Sequence[Revision]
    newest: Revision
    """The one of the owner's template as it is."""
    collisions: int


class History:
    """The revisions of one owner."""

    def __init__(self, ctx: Context, owner: Any, label: str) -> None:
        """`label` names the label that holds a revision's hash."""
        self._ctx, self._owner, self._label = ctx, owner, label
        self._api = ctx.api(Revision)
        self._templates = ctx.state(Templates)

    async def find(self) -> Found | None:
        """Claims the revisions, and makes one of the template or gives its old one the highest number.

        None while the cache has not shown the last write: its event brings the owner's key again, PATIENCE at the latest.
        """
        if self._late():
            return None
        known = oldest_first(await Claim(self._ctx, self._owner, selector_of(self._owner), Revision).run())
        collisions = self._owner.status.collisionCount or 0
        equal = self._templates.equal(self._owner.spec.template, known)
        number = known[-1].revision + 1 if known else 1
        if not equal:
            newest, collisions = await self._create(number, collisions)
        elif equal[-1].metadata.uid == known[-1].metadata.uid:
            newest = equal[-1]
        else:
            newest = await self._api.patch(equal[-1], replace(equal[-1], revision=number), lock=True)
            self._wrote(newest)
        others = [revision for revision in known if revision.metadata.uid != newest.metadata.uid]
        return Found([*others, newest], newest, collisions)

    async def forget(self, revisions: Iterable[Revision]) -> None:
        """Deletes them."""
        for revision in revisions:
            try:
                await self._api.delete(key_of(revision), uid=revision.metadata.uid)
            except NotFound:
                continue

    async def _create(self, number: int, collisions: int) -> tuple[Revision, int]:
        """Under another name where one of another template, or of another owner, has it."""
        while True:
            wanted = self._made(number, collisions)
            try:
                made = await self._api.create(wanted)
            except AlreadyExists:
                there = await self._api.get(key_of(wanted))
                ref = controller_of(there.metadata)
                ours = ref is not None and ref.uid == self._owner.metadata.uid
                if not ours or not self._templates.equal(self._owner.spec.template, [there]):
                    collisions += 1
                    continue
                made = there
            self._wrote(made)
            return made, collisions

    def _made(self, number: int, collisions: int) -> Revision:
        meta, template = self._owner.metadata, self._owner.spec.template
        tag = hash_of(template, collisions)
        return Revision(
            metadata=meta_v1.ObjectMeta(
                name=f"{meta.name[:NAME_MOST]}-{tag}",
                namespace=meta.namespace,
                labels={**template.metadata.labels, self._label: tag},
                annotations=meta.annotations,
                ownerReferences=(reference_to(type(self._owner), meta),),
            ),
            data=data_of(template),
            revision=number,
        )

    def _wrote(self, revision: Revision) -> None:
        written = revision.metadata.resourceVersion
        if written.isdigit():
            reached = int(written), self._ctx.clock.now()
            self._ctx.state(_Written).reached[key_of(self._owner)] = reached

    def _late(self) -> bool:
        written = self._ctx.state(_Written).reached
        revision, since = written.get(key_of(self._owner), (0, 0.0))
        seen = int(self._ctx.informer(Revision).revision or 0)
        if seen < revision and self._ctx.clock.now() - since < PATIENCE:
            return True
        owner_gone(self._ctx, key_of(self._owner))
        return False
