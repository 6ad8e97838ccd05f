"""Storage version migrator: has all objects of a resource stored anew, so that none is left in an older version.

One migration of a resource at a time, the oldest first. Each object is written by an apply that sets nothing: the server
stores it anew where it is stored in another version, and does nothing else. Whatever changes meanwhile is stored in
the new version anyhow. Afterwards a CustomResourceDefinition is known to have objects of one version only.
"""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import (
    ApiError,
    Conflict,
    Expired,
    GatewayTimeout,
    InternalError,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)
from pybernetes.api.objects import Key
from pybernetes.api.types import meta_v1
from pybernetes.api.types.apiextensions_v1 import CustomResourceDefinition, CustomResourceDefinitionCondition
from pybernetes.api.types.storagemigration_v1 import StorageVersionMigration
from pybernetes.client.discovery import Served, discover
from pybernetes.client.rest import APPLY, key_of
from pybernetes.controllers.runtime import Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.conditions import find, put_at

NAME = "storage-version-migrator-controller"
PAGE = 500
RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
COMPLETED = "MigrationCompleted"
"""Why one runs no more, when the definition of its kind has been told, too."""
MIGRATING = "StorageMigrating"
"""The condition of a CustomResourceDefinition."""

Migration = StorageVersionMigration
_PASSING = (Expired, GatewayTimeout, InternalError, ServiceUnavailable, TooManyRequests)


def _is(migration: Migration, kind: str) -> bool:
    return any(c.type == kind and c.status == "True" for c in migration.status.conditions)


def _is_over(migration: Migration) -> bool:
    return _is(migration, SUCCEEDED) or _is(migration, FAILED)


def _siblings(migration: Migration, ctx: Context) -> list[Migration]:
    return [other for other in ctx.cache(Migration) if other.spec.resource == migration.spec.resource]


def _all_of_resource(migration: Migration, ctx: Context) -> Iterable[Key]:
    """One that ends lets the next one begin."""
    return [key_of(migration), *(key_of(other) for other in _siblings(migration, ctx))]


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One step of one migration."""
    migration = ctx.cache(Migration).get(key)
    if migration is None:
        return Done()
    if _is_over(migration):
        running = find(migration.status.conditions, RUNNING)
        if running is not None and running.reason != COMPLETED:
            await _end(migration, ctx)
        return Done()
    if not _is(migration, RUNNING):
        waiting = [other for other in _siblings(migration, ctx) if not _is_over(other)]
        first = min(waiting, key=lambda m: (m.metadata.creationTimestamp or "", m.metadata.name))
        if first is migration and not any(_is(other, RUNNING) for other in waiting):
            await _begin(migration, ctx)
        return Done()
    served = await _served(migration, ctx)
    if served is None:
        await _say(migration, FAILED, "StorageVersionMigrationFailed", "resource does not exist in discovery", ctx)
        return Done()
    if not migration.status.resourceVersion:
        found = await ctx.client.metadata(served.target).list(limit=1)
        status = replace(migration.status, resourceVersion=found.revision)
        await ctx.api(Migration).patch(migration, replace(migration, status=status), subresource="status", lock=True)
        return Done()
    try:
        await _migrate(served, migration.status.resourceVersion, ctx)
    except _PASSING:
        raise  # the server has troubles of its own: once more, later
    except ApiError as error:
        text = f"migration encountered unhandled error: {error.message}"
        await _say(migration, FAILED, "StorageVersionMigrationFailed", text, ctx)
        return Done()
    await _say(migration, SUCCEEDED, "StorageVersionMigrationSucceeded", "", ctx)
    return Done()


async def _served(migration: Migration, ctx: Context) -> Served | None:
    asked = migration.spec.resource
    for one in (await discover(ctx.client)).resources:
        if (one.target.group, one.target.plural) == (asked.group, asked.resource) and {"list", "patch"} <= one.verbs:
            return one
    return None


async def _migrate(served: Served, since: str, ctx: Context) -> None:
    """All objects that have not been written since that revision. Raises ApiError."""
    api = ctx.client.metadata(served.target)
    after = ""
    while True:
        page = await api.list(limit=PAGE, after=after)
        for obj in page.items:
            if not _is_newer(obj.metadata.resourceVersion or "", since):
                await _store_anew(obj, served, ctx)
        after = page.after
        if not after:
            return


def _is_newer(revision: str, than: str) -> bool:
    """Revisions are numbers, but those of an aggregated server need not be."""
    return revision.isdigit() and than.isdigit() and int(revision) > int(than)


async def _store_anew(obj: Any, served: Served, ctx: Context) -> None:
    """The uid and the revision say which object is meant: one that has changed was stored anew by that."""
    target, meta = served.target, obj.metadata
    same = {"name": meta.name, "uid": meta.uid, "resourceVersion": meta.resourceVersion}
    body = {"apiVersion": target.api_version, "kind": target.kind, "metadata": same}
    path = target.path(meta.namespace, meta.name)
    try:
        await ctx.client.raw("PATCH", path, body, query={"fieldManager": NAME}, headers={"content-type": APPLY})
    except (Conflict, NotFound):
        return


# --- conditions


async def _begin(migration: Migration, ctx: Context) -> None:
    crd = await _crd(migration, ctx)
    if crd is not None:
        text = f"Migration {migration.metadata.name} is running"
        await _mark(crd, "True", "MigrationRunning", text, ctx)
    await _say(migration, RUNNING, "MigrationRunning", "The migration is running", ctx)


async def _end(migration: Migration, ctx: Context) -> None:
    """Versions that nothing is stored in any more are struck out, if the definition is what it was at the beginning."""
    crd = await _crd(migration, ctx)
    mark = find(crd.status.conditions, MIGRATING) if crd is not None else None
    if crd is not None and mark is not None and mark.status == "True":
        same = mark.observedGeneration == crd.metadata.generation
        stored = tuple(v.name for v in crd.spec.versions if v.storage)
        if not _is(migration, SUCCEEDED):
            await _mark(crd, "False", "MigrationFailed", "The migration has failed", ctx)
        elif same:
            text = "The migration has succeeded and the stored versions have been updated"
            await _mark(crd, "False", "MigrationSucceeded", text, ctx, stored)
        else:
            text = (
                "The migration has succeeded but the stored versions have not been updated due to a generation mismatch"
            )
            await _mark(crd, "False", "MigrationSucceeded", text, ctx)
    made = meta_v1.Condition(
        type=RUNNING,
        status="False",
        reason=COMPLETED,
        message="Migration completed",
        observedGeneration=migration.metadata.generation or 0,
    )
    conditions = put_at(migration.status.conditions, made, rfc3339(ctx.clock.now()))
    changed = replace(migration, status=replace(migration.status, conditions=conditions))
    await ctx.api(Migration).patch(migration, changed, subresource="status", lock=True)


async def _crd(migration: Migration, ctx: Context) -> CustomResourceDefinition | None:
    asked = migration.spec.resource
    try:
        return await ctx.api(CustomResourceDefinition).get(Key("", f"{asked.resource}.{asked.group}"))
    except NotFound:
        return None


async def _mark(
    crd: CustomResourceDefinition, status: str, reason: str, text: str, ctx: Context, stored: tuple[str, ...] = ()
) -> None:
    made = CustomResourceDefinitionCondition(
        type=MIGRATING,
        status=status,
        reason=reason,
        message=text,
        observedGeneration=crd.metadata.generation or 0,
    )
    conditions = put_at(crd.status.conditions, made, rfc3339(ctx.clock.now()))
    changed = replace(crd.status, conditions=conditions, storedVersions=stored or crd.status.storedVersions)
    await ctx.api(CustomResourceDefinition).patch(crd, replace(crd, status=changed), subresource="status", lock=True)


async def _say(migration: Migration, kind: str, reason: str, text: str, ctx: Context) -> None:
    now, conditions = rfc3339(ctx.clock.now()), migration.status.conditions
    running = find(conditions, RUNNING)
    if running is not None and kind != RUNNING:  # the API refuses both at once
        conditions = put_at(conditions, replace(running, status="False"), now)
    made = meta_v1.Condition(type=kind, status="True", reason=reason, message=text)
    conditions = put_at(conditions, made, now)
    changed = replace(migration, status=replace(migration.status, conditions=conditions))
    await ctx.api(Migration).patch(migration, changed, subresource="status", lock=True)


CONTROLLER = Controller(
    name=NAME,
    watches=(Watch(kind=Migration, keys=_all_of_resource),),
    reconcile=reconcile,
    workers=2,
    rules=(
        allow("list watch create patch", "*", "*"),
        allow("get", "customresourcedefinitions", "apiextensions.k8s.io"),
        allow("update patch", "customresourcedefinitions/status", "apiextensions.k8s.io"),
        allow("update patch", "storageversionmigrations/status", "storagemigration.k8s.io"),
    ),
)
