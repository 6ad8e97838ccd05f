"""Objects of a resource stored anew, one migration after the other, with the real API server."""

import orjson
from tests.component.controllers.world import World, simulated, world

from pybernetes.api.errors import ApiError, Forbidden, InternalError
from pybernetes.api.objects import Object
from pybernetes.api.types import core_v1
from pybernetes.api.types.storagemigration_v1 import StorageVersionMigration
from pybernetes.wire.http import Request

ENDED = ("False", "MigrationCompleted")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "shirts.test.example.com"
SHIRTS = "/apis/test.example.com/{}/namespaces/default/shirts"


def version(name: str, stored: bool) -> Object:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {"name": name, "served": True, "storage": stored, "schema": schema}


async def definition(w: World) -> None:
    names = {"plural": "shirts", "singular": "shirt", "kind": "Shirt"}
    spec = {"group": "test.example.com", "names": names, "scope": "Namespaced", "versions": [version("v1", True)]}
    await w.client.raw("POST", CRDS, {"metadata": {"name": NAME}, "spec": spec})
    await w.clock.sleep(5)


async def store_in_v2(w: World) -> None:
    versions = [version("v1", False), version("v2", True)]
    headers = {"content-type": "application/merge-patch+json"}
    await w.client.raw("PATCH", f"{CRDS}/{NAME}", {"spec": {"versions": versions}}, headers=headers)
    await w.clock.sleep(5)


async def migrate(w: World, name: str, group: str, resource: str) -> None:
    where = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
    body = {"metadata": {"name": name}, "spec": {"resource": {"group": group, "resource": resource}}}
    await w.client.raw("POST", where, body)


async def conditions(w: World, name: str) -> dict[str, tuple[str, str]]:
    found = await w.get(StorageVersionMigration, name, "")
    return {c.type: (c.status, c.reason) for c in found.status.conditions}


async def over(w: World, name: str) -> dict[str, tuple[str, str]]:
    async def holds() -> bool:
        found = await conditions(w, name)
        return found.get("Running") == ENDED

    await w.until(holds)
    return await conditions(w, name)


@simulated
async def test_custom_objects_are_stored_in_the_new_version_and_the_old_one_is_struck_out():
    async with world(nodes=0) as w:
        await definition(w)
        for number in range(3):
            body = {"apiVersion": "test.example.com/v1", "kind": "Shirt", "metadata": {"name": f"s{number}"}}
            await w.client.raw("POST", SHIRTS.format("v1"), body)
        await store_in_v2(w)
        before = await w.client.raw("GET", SHIRTS.format("v2"))
        crd = await w.client.raw("GET", f"{CRDS}/{NAME}")
        assert crd["status"]["storedVersions"] == ["v1", "v2"]
        assert await stored_versions(w) == {"test.example.com/v1"}
        await migrate(w, "m", "test.example.com", "shirts")
        assert await over(w, "m") == {"Running": ENDED, "Succeeded": ("True", "StorageVersionMigrationSucceeded")}
        running = (await w.get(StorageVersionMigration, "m", "")).status.conditions[0]
        assert running.message == "Migration completed"
        crd = await w.client.raw("GET", f"{CRDS}/{NAME}")
        assert crd["status"]["storedVersions"] == ["v2"]
        (mark,) = [c for c in crd["status"]["conditions"] if c["type"] == "StorageMigrating"]
        assert (mark["status"], mark["reason"]) == ("False", "MigrationSucceeded")
        assert mark["message"] == "The migration has succeeded and the stored versions have been updated"
        assert await stored_versions(w) == {"test.example.com/v2"}
        after = await w.client.raw("GET", SHIRTS.format("v2"))
        assert [plain(one) for one in after["items"]] == [plain(one) for one in before["items"]]


def plain(obj: Object) -> Object:
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}}


async def stored_versions(w: World) -> set[str]:
    page = await w.store.range("/registry/test.example.com/shirts/")
    return {orjson.loads(one.value)["apiVersion"] for one in page.items}


@simulated
async def test_built_in_objects_are_as_they_were_and_nothing_is_written():
    async with world(nodes=0) as w:
        await w.create(core_v1.ConfigMap, "m", data={"a": "b"})
        before = await w.all(core_v1.ConfigMap, None)
        await migrate(w, "m", "", "configmaps")
        assert await over(w, "m") == {"Running": ENDED, "Succeeded": ("True", "StorageVersionMigrationSucceeded")}
        assert (await w.get(StorageVersionMigration, "m", "")).status.resourceVersion
        assert await w.all(core_v1.ConfigMap, None) == before


@simulated
async def test_migrations_of_one_resource_wait_for_each_other():
    async with world(nodes=0) as w:

        def refuse(request: Request) -> ApiError | None:
            return InternalError("later") if "fieldManager=storage-version-migrator" in request.target else None

        w.wire.refuse = refuse
        await migrate(w, "a", "", "configmaps")
        await migrate(w, "b", "", "configmaps")
        await w.clock.sleep(30)
        assert await conditions(w, "a") == {"Running": ("True", "MigrationRunning")}
        assert await conditions(w, "b") == {}
        w.wire.refuse = lambda request: None
        for name in ("a", "b"):
            assert set(await over(w, name)) == {"Running", "Succeeded"}
        counters = w.manager.loops["storage-version-migrator-controller"].counters
        counters.errors = counters.races  # failures were the point


@simulated
async def test_what_is_not_there_cannot_be_migrated():
    async with world(nodes=0) as w:
        await migrate(w, "m", "example.com", "unicorns")
        assert set(await over(w, "m")) == {"Running", "Failed"}
        _, c = (await w.get(StorageVersionMigration, "m", "")).status.conditions
        assert (c.type, c.message) == ("Failed", "resource does not exist in discovery")


@simulated
async def test_what_the_server_refuses_for_good_ends_a_migration_and_is_told():
    async with world(nodes=0) as w:

        def refuse(request: Request) -> ApiError | None:
            return Forbidden("no") if "fieldManager=storage-version-migrator" in request.target else None

        w.wire.refuse = refuse
        await migrate(w, "m", "", "configmaps")
        assert set(await over(w, "m")) == {"Running", "Failed"}
        _, c = (await w.get(StorageVersionMigration, "m", "")).status.conditions
        assert (c.reason, c.message) == (
            "StorageVersionMigrationFailed",
            "migration encountered unhandled error: no",
        )


@simulated
async def test_what_was_written_since_a_migration_began_is_left_alone():
    async with world(nodes=0) as w:
        await w.create(core_v1.ConfigMap, "old", data={"a": "b"})

        def refuse(request: Request) -> ApiError | None:
            return InternalError("later") if "fieldManager=storage-version-migrator" in request.target else None

        w.wire.refuse = refuse
        await migrate(w, "m", "", "configmaps")
        await w.clock.sleep(2)
        await w.create(core_v1.ConfigMap, "new", data={"a": "b"})
        w.wire.refuse = lambda request: None
        before = len(w.wire.writes)
        assert set(await over(w, "m")) == {"Running", "Succeeded"}
        applied = [write for write in w.wire.writes[before:] if "fieldManager=storage-version-migrator" in write]
        assert any("/configmaps/old?" in write for write in applied)
        assert not any("/configmaps/new?" in write for write in applied)
        counters = w.manager.loops["storage-version-migrator-controller"].counters
        counters.errors = counters.races  # failures were the point
