"""The binder, row by row: what there is before it looks, and what there is once it has nothing more to do.

Rows have the numbers of upstream's table of binder tests, where that has them. A volume is `name size` and words; a claim likewise. `ref=c`
is a reservation for claim c, `ref=c:own` one with its uid, `ref=c:other` one with that of a namesake that is gone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.component.controllers.world import World, controllers, simulated, world

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, storage_v1
from pybernetes.rules import volumebinding as rule

PV, PVC, SC = core_v1.PersistentVolume, core_v1.PersistentVolumeClaim, storage_v1.StorageClass
NOTES = {"mine": rule.BOUND_BY_CONTROLLER, "done": rule.BIND_COMPLETED}
LABELS = {"foo": "true", "bar": "false"}
GONE = "00000000-0000-0000-0000-000000000000"

ROWS = """
1-1 a claim is bound | v 1Gi | c 1Gi | v Bound c:own mine | c Bound v 1Gi mine done |
1-2 nothing is large enough | v 1Gi | c 10Gi | v Available | c Pending | c Normal FailedBinding
1-3 back to Pending | v 1Gi | c 10Gi phase=Bound | v Available | c Pending | c Normal FailedBinding
1-4 the smallest | v 10Gi, w 1Gi | c 1Gi | v Available, w Bound c:own mine | c Bound w 1Gi mine done |
1-5 reserved by name | v 10Gi ref=c, w 1Gi | c 1Gi | v Bound c:own, w Available | c Bound v 10Gi mine done |
1-6 reserved by uid | v 10Gi ref=c:own, w 1Gi | c 1Gi | v Bound c:own, w Available | c Bound v 10Gi mine done |
1-7 a namesake's | v 10Gi ref=c:other | c 1Gi | v Released c:other | c Pending | c Normal FailedBinding
1-8 half done: claimRef | v 1Gi ref=c:own mine | c 1Gi | v Bound c:own mine | c Bound v 1Gi mine done |
1-9 half done: phase | v 1Gi ref=c:own mine phase=Bound | c 1Gi | v Bound c:own mine | c Bound v 1Gi mine done |
1-10 half done: volumeName | v 1Gi ref=c:own mine phase=Bound | c 1Gi volume=v mine done | v Bound c:own mine \
| c Bound v 1Gi mine done |
1-11 the selector matches | v 1Gi labels | c 1Gi select | v Bound c:own mine | c Bound v 1Gi mine done |
1-12 it does not | v 1Gi | c 1Gi select | v Available | c Pending | c Normal FailedBinding
1-13 it waits for a consumer | | c 1Gi class=wait | | c Pending | c Normal WaitForFirstConsumer
1-14 also beside a volume | v 1Gi class=wait | c 1Gi class=wait | v Available | c Pending | c Normal WaitForFirstConsumer
1-15 but takes its own | v 1Gi class=wait ref=c | c 1Gi class=wait | v Bound c:own | c Bound v 1Gi mine done |
2-1 the named one is missing | | c 10Gi volume=v | | c Pending v |
2-2 back to Pending | | c 10Gi volume=v phase=Bound | | c Pending v |
2-3 named and free | v 1Gi | c 1Gi volume=v | v Bound c:own mine | c Bound v 1Gi done |
2-4 named and reserved | v 1Gi ref=c | c 1Gi volume=v | v Bound c:own | c Bound v 1Gi done |
2-5 by uid | v 1Gi ref=c:own | c 1Gi volume=v | v Bound c:own | c Bound v 1Gi done |
2-6 another's | v 1Gi ref=d phase=Bound | c 1Gi volume=v phase=Bound | v Available d | c Pending v | c Warning FailedBinding
2-7 another's, by us | v 1Gi ref=d | c 1Gi volume=v phase=Bound mine | v Available d | c Bound v mine | c Warning FailedBinding
2-8 selectors do not count | v 1Gi | c 1Gi volume=v select | v Bound c:own mine | c Bound v 1Gi done |
2-9 it is too small | v 1Gi | c 2Gi volume=v | v Available | c Pending v | c Warning VolumeMismatch
2-10 of another class | v 1Gi class=gold | c 1Gi volume=v | v Available | c Pending v | c Warning VolumeMismatch
3-1 no name any more | | c 10Gi done mine phase=Bound | | c Lost mine done | c Warning ClaimLost
3-2 no volume any more | | c 10Gi volume=v done mine phase=Bound | | c Lost v mine done | c Warning ClaimLost
3-3 let go | v 10Gi | c 10Gi volume=v done mine | v Bound c:own mine | c Bound v 10Gi mine done |
3-4 a namesake's | v 10Gi ref=c:other | c 10Gi volume=v done mine | v Released c:other | c Lost v mine done \
| c Warning ClaimMisbound
3-5 all is well | v 10Gi ref=c:own | c 10Gi volume=v done | v Bound c:own | c Bound v 10Gi done |
3-6 another's | v 10Gi ref=d:other | c 10Gi volume=v done | v Released d:other | c Lost v done | c Warning ClaimMisbound
3-7 selectors do not count | v 10Gi | c 10Gi volume=v done mine select | v Bound c:own mine | c Bound v 10Gi mine done |
4-1 new | v 10Gi phase=Pending | | v Available | |
4-2 reserved | v 10Gi ref=c | | v Available c | |
4-3 its claim is gone | v 10Gi ref=c:other phase=Bound | | v Released c:other | |
4-6 its claim is there | v 10Gi ref=c:own | c 10Gi volume=v phase=Bound done | v Bound c:own | c Bound v done |
4-7 one too many | v 10Gi ref=c:own mine phase=Bound | c 10Gi volume=w phase=Bound done | v Available | c Lost w done \
| c Warning ClaimLost
4-8 the user's own | v 10Gi ref=c:own phase=Bound | c 10Gi volume=w phase=Bound done | v Available c | c Lost w done \
| c Warning ClaimLost
10-2 two for one | v 1Gi ref=c:own mine, w 1Gi ref=c:own mine | c 1Gi volume=v done mine | v Bound c:own mine, w Available \
| c Bound v 1Gi mine done |
13-1 of a class | v 1Gi, w 10Gi class=gold | c 1Gi class=gold | v Available, w Bound c:own mine | c Bound w 10Gi mine done |
13-2 of none | v 1Gi class=gold, w 10Gi | c 1Gi | v Available, w Bound c:own mine | c Bound w 10Gi mine done |
13-3 of another | v 1Gi class=silver, w 10Gi class=gold | c 1Gi class=gold | v Available, w Bound c:own mine \
| c Bound w 10Gi mine done |
13-4 of the empty one | v 1Gi | c 1Gi class= | v Bound c:own mine | c Bound v 1Gi mine done |
14-1 a device | v 10Gi block | c 10Gi block | v Bound c:own mine | c Bound v 10Gi mine done |
14-3 a file system is none | v 10Gi | c 10Gi block | v Available | c Pending | c Normal FailedBinding
14-4 nor the other way | v 10Gi block | c 10Gi | v Available | c Pending | c Normal FailedBinding
14-5 of the class, but not of the mode | v 10Gi class=gold | c 10Gi class=gold block | v Available | c Pending \
| c Warning ProvisioningFailed
14-5-2 of the mode, but not of the class | v 10Gi class=gold | c 10Gi class=silver volume=v | v Available | c Pending v \
| c Warning VolumeMismatch
14-7 reserved | v 10Gi block ref=c | c 10Gi block | v Bound c:own | c Bound v 10Gi mine done |
14-8 named in vain | v 10Gi block | c 10Gi volume=v | v Available | c Pending v | c Warning VolumeMismatch
14-8-1 reserved in vain | v 10Gi block ref=c | c 10Gi | v Available c | c Pending | c Normal FailedBinding
14-13 reserved by uid in vain | v 10Gi block ref=c:own phase=Bound | c 10Gi | v Bound c:own | c Pending \
| c Normal FailedBinding, c Warning VolumeMismatch, v Warning VolumeMismatch
15-1 attributes | v 1Gi, w 10Gi attributes=fast | c 1Gi attributes=fast | v Available, w Bound c:own mine \
| c Bound w 10Gi mine done fast |
15-2 named, others | v 1Gi attributes=slow | c 1Gi volume=v attributes=fast | v Available | c Pending v | c Warning VolumeMismatch
""".replace("\\\n", "").strip()  # fmt: skip


def _words(text: str) -> tuple[str, str, set[str], dict[str, str]]:
    name, size, *rest = text.split()
    return (
        name,
        size,
        {word for word in rest if "=" not in word},
        dict(word.split("=", 1) for word in rest if "=" in word),
    )


def _meta(words: set[str], namespace: str) -> dict[str, Any]:
    labels = LABELS if "labels" in words else {}
    notes = {note: "yes" for word, note in NOTES.items() if word in words}
    return {"namespace": namespace, "labels": labels, "annotations": notes}


def _spec(size: str, words: set[str], values: dict[str, str]) -> dict[str, Any]:
    common: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Block" if "block" in words else "Filesystem",
    }
    if "attributes" in values:
        common["volumeAttributesClassName"] = values["attributes"]
    return common


async def _claim(w: World, text: str) -> None:
    name, size, words, values = _words(text)
    spec = _spec(size, words, values) | {"resources": {"requests": {"storage": size}}}
    spec["storageClassName"] = values.get("class", "")
    if "volume" in values:
        spec["volumeName"] = values["volume"]
    if "select" in words:
        spec["selector"] = {"matchLabels": LABELS}
    await w.create(PVC, name, metadata=_meta(words, "default"), spec=spec)
    if "phase" in values:
        await _phase(w, PVC, name, "default", values["phase"])


async def _volume(w: World, text: str) -> None:
    name, size, words, values = _words(text)
    csi = {"driver": "example.com", "volumeHandle": name}
    spec = _spec(size, words, values) | {"capacity": {"storage": size}, "csi": csi}
    spec["storageClassName"] = values.get("class", "")
    spec["persistentVolumeReclaimPolicy"] = "Retain"
    if "ref" in values:
        owner, _, uid = values["ref"].partition(":")
        uid = (await w.get(PVC, owner)).metadata.uid if uid == "own" else GONE if uid else ""
        spec["claimRef"] = {"namespace": "default", "name": owner} | ({"uid": uid} if uid else {})
    await w.create(PV, name, "", metadata=_meta(words, ""), spec=spec)
    phase = values.get("phase", "Pending" if "ref" in values else "Available")
    await _phase(w, PV, name, "", phase)


async def _phase(w: World, kind: type[Any], name: str, namespace: str, phase: str) -> None:
    await w.client.of(kind).patch_raw(Key(namespace, name), {"status": {"phase": phase}}, subresource="status")


def _notes(annotations: Any) -> list[str]:
    return [word for word, note in NOTES.items() if note in annotations]


def _shown_volume(volume: PV, uids: dict[str, str]) -> str:
    ref, meta, found = volume.spec.claimRef, volume.metadata, ""
    if ref is not None:
        uid = "" if not ref.uid else ":own" if uids.get(ref.name) == ref.uid else ":other"
        found = f"{ref.name}{uid}"
    return " ".join(filter(None, (meta.name, volume.status.phase, found, *_notes(meta.annotations))))


def _shown_claim(claim: PVC) -> str:
    status, meta = claim.status, claim.metadata
    size = status.capacity.get("storage", "")
    words = (meta.name, status.phase, claim.spec.volumeName, size, *_notes(meta.annotations))
    return " ".join(filter(None, (*words, status.currentVolumeAttributesClassName)))


def _listed(text: str) -> list[str]:
    return [" ".join(one.split()) for one in text.split(",") if one.strip()]


@asynccontextmanager
async def _binder(w: World) -> AsyncIterator[None]:
    running = controllers(w, "persistentvolume-binder-controller")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("row", ROWS.splitlines(), ids=lambda row: row.split("|")[0].strip().replace(" ", "-"))
def test_the_binder_ends_where_upstreams_does(row: str):
    _, volumes, claims, then_volumes, then_claims, told = row.split("|")

    @simulated
    async def play() -> None:
        async with world(nodes=0, only=("serviceaccount-controller",)) as w:
            await w.create(SC, "wait", "", metadata={"namespace": ""}, provisioner=rule.NO_PROVISIONER,
                           volumeBindingMode=rule.WAITS)  # fmt: skip
            for one in _listed(claims):
                await _claim(w, one)
            for one in _listed(volumes):
                await _volume(w, one)
            async with _binder(w):
                await w.clock.sleep(5)
                there = await w.all(PVC)
                uids = {claim.metadata.name: claim.metadata.uid for claim in there}
                assert [_shown_volume(v, uids) for v in await w.all(PV, "")] == _listed(then_volumes)
                assert [_shown_claim(claim) for claim in there] == _listed(then_claims)
                events = await w.all(core_v1.Event, None)
                assert sorted(f"{e.involvedObject.name} {e.type} {e.reason}" for e in events) == _listed(told)

    play()
