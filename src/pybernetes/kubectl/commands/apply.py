"""kubectl apply: three-way merge of a file, what was applied last, and the live object (KEP-555 for --server-side)."""

import argparse
from typing import Any

import orjson

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import GroupVersionKind, Object, split_api_version
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.dryrun import add_dry_run_flag, dry_run_query, dry_run_suffix
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.printers.output import add_output_flags, print_objects
from pybernetes.kubectl.session import APPLY, MERGE, STRATEGIC, Session
from pybernetes.kubectl.targets import Manifest, add_file_flags, manifests

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _flags(flags: Flags) -> None:
    add_file_flags(flags, "to apply")
    add_output_flags(flags)
    add_dry_run_flag(flags)
    flags.add_argument("-k", "--kustomize", default="", help="not supported")
    flags.flag("--server-side", help="apply on the server")
    flags.flag("--force-conflicts", help="with --server-side: take fields from other managers")
    flags.add_argument("--field-manager", default="", help="name of the manager (kubectl-client-side-apply)")
    flags.add_argument("--validate", default="strict", help="strict, warn or ignore unknown fields")
    flags.flag("--overwrite", default=True, help="overwrite conflicting local changes")
    flags.add_argument("-l", "--selector", default="", help="only objects with these labels")


async def _run(session: Session, options: argparse.Namespace) -> int:
    if options.kustomize:
        raise Refused("kustomize is not supported: render the folder and apply the result with -f")
    if not options.filename:
        raise Refused("must specify one of -f and -k")
    mapper = await session.mapper()
    results = []
    for manifest in await manifests(session, options):
        if not manifest.name:
            raise Refused("metadata.name is required: cannot use generate name with apply")
        apply = _apply_on_server if options.server_side else _apply
        verb, obj = await apply(session, options, manifest)
        results.append(obj)
        if not options.output:
            print(f"{manifest.target.shown} {verb}{dry_run_suffix(options)}")
    if options.output:
        print_objects(results, options, mapper, single=True)
    return 0


async def _apply(session: Session, options: argparse.Namespace, manifest: Manifest) -> tuple[str, Object]:
    modified = with_last_applied(manifest.obj)
    query = {**_query(options), "fieldManager": options.field_manager or "kubectl-client-side-apply"}
    try:
        live = await session.request("GET", manifest.path(manifest.name))
    except NotFound:
        if options.dry_run == "client":
            return "created", manifest.obj
        return "created", await session.request("POST", manifest.path(), modified, query=query)
    original = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if original is None:
        session.warn(
            f'299 - "resource {manifest.target.mapping.plural}/{manifest.name} is missing the {LAST_APPLIED} annotation '
            "which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by "
            'either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically."'
        )
    patch, content_type = three_way_patch(orjson.loads(original) if original else {}, modified, live)
    if not patch:
        return "unchanged", live
    if options.dry_run == "client":
        return "configured", manifest.obj
    path = manifest.path(manifest.name)
    changed = await session.request("PATCH", path, patch, content_type=content_type, query=query)
    same = changed["metadata"].get("resourceVersion") == live["metadata"].get("resourceVersion")
    return ("unchanged" if same and options.dry_run == "none" else "configured"), changed


async def _apply_on_server(session: Session, options: argparse.Namespace, manifest: Manifest) -> tuple[str, Object]:
    query = {
        **_query(options),
        "fieldManager": options.field_manager or "kubectl",
        "force": "true" if options.force_conflicts else "false",
    }
    path = manifest.path(manifest.name)
    answer = await session.request("PATCH", path, orjson.dumps(manifest.obj), content_type=APPLY, query=query)
    return "serverside-applied", answer


def _query(options: argparse.Namespace) -> dict[str, str]:
    validation = {"strict": "Strict", "true": "Strict", "warn": "Warn"}.get(options.validate, "Ignore")
    return {"fieldValidation": validation, **dry_run_query(options)}


def with_last_applied(obj: Object) -> Object:
    """A copy that carries itself in the last-applied annotation, encoded as kubectl does (sorted keys, newline)."""
    bare: Object = orjson.loads(orjson.dumps(obj))
    annotations = bare["metadata"].setdefault("annotations", {}) or {}
    bare["metadata"]["annotations"] = annotations
    annotations.pop(LAST_APPLIED, None)
    text = orjson.dumps(bare, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE).decode()
    annotations[LAST_APPLIED] = text
    return bare


def three_way_patch(original: Object, modified: Object, live: Object) -> tuple[Object, str]:
    """The patch that makes `live` as `modified` says, dropping what `original` had; strategic for built-in kinds."""
    from pybernetes.api import schema
    from pybernetes.rules.patch import merge, strategic

    group, version = split_api_version(str(modified["apiVersion"]))
    type_name = schema.type_name(GroupVersionKind(group, version, str(modified["kind"])))
    if type_name is None:
        patch: Any = merge.three_way(original, modified, live)
        return patch, MERGE
    return strategic.three_way(original, modified, live, type_name), STRATEGIC


COMMAND = Command(
    help="Apply a configuration to a resource by file name or stdin",
    usage="apply -f FILE [--server-side] [--dry-run=none|client|server]",
    examples="  kubectl apply -f pod.yaml\n  cat pod.json | kubectl apply -f -",
    flags=_flags,
    run=_run,
)
