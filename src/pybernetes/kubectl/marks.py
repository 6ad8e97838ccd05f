"""Labels and annotations: both are maps in metadata, and kubectl changes them alike."""

import argparse
from collections.abc import Awaitable, Callable

from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.dryrun import add_dry_run_flag, dry_run_query, dry_run_suffix
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.session import MERGE, Session
from pybernetes.kubectl.targets import Target, resource_targets


def add_mark_flags(flags: Flags) -> None:
    """Flags of label and annotate."""
    flags.add_argument("what", nargs="*", metavar="TYPE/NAME KEY=VALUE", help="KEY=VALUE sets, KEY- removes")
    add_dry_run_flag(flags)
    flags.flag("--overwrite", help="change a value that is there")
    flags.flag("--all", help="all objects of the type")
    flags.add_argument("-l", "--selector", default="", help="all objects with these labels")


def mark(field: str, done: str, noun: str) -> Callable[[Session, argparse.Namespace], Awaitable[int]]:
    """The run function of a command that changes metadata.<field>."""

    async def run(session: Session, options: argparse.Namespace) -> int:
        words = [word for word in options.what if not _is_change(word)]
        changes = _changes([word for word in options.what if _is_change(word)], noun)
        targets = resource_targets(await session.mapper(), words)
        for target in await _expanded(session, options, targets):
            path = target.mapping.path(session.namespace, target.name)
            now: Object = (await session.request("GET", path))["metadata"].get(field) or {}
            clash = next((k for k, v in changes.items() if v is not None and now.get(k, v) != v), None)
            if clash and not options.overwrite:
                raise Refused(f"'{clash}' already has a value ({now[clash]}), and --overwrite is false")
            if all(now.get(key) == value for key, value in changes.items()):
                print(f"{target.shown} not {done}{dry_run_suffix(options)}")
                continue
            if options.dry_run != "client":
                patch = {"metadata": {field: changes}}
                await session.request("PATCH", path, patch, content_type=MERGE, query=dry_run_query(options))
            only_removed = all(value is None for value in changes.values())
            print(
                f"{target.shown} {'un' + done if only_removed and noun == 'label' else done}{dry_run_suffix(options)}"
            )
        return 0

    return run


def _is_change(word: str) -> bool:
    return "=" in word or (word.endswith("-") and len(word) > 1)


def _changes(words: list[str], noun: str) -> dict[str, str | None]:
    if not words:
        raise Refused(f"at least one {noun} update is required")
    found: dict[str, str | None] = {}
    for word in words:
        key, equals, value = word.partition("=")
        found[key if equals else word[:-1]] = value if equals else None
    return found


async def _expanded(session: Session, options: argparse.Namespace, targets: list[Target]) -> list[Target]:
    found: list[Target] = []
    for target in targets:
        if target.name:
            found.append(target)
            continue
        if not (options.all or options.selector):
            raise Refused("resource(s) were provided, but no name was specified")
        query = {"labelSelector": options.selector}
        listed = await session.request("GET", target.mapping.path(session.namespace), query=query)
        found += [Target(target.mapping, item["metadata"]["name"]) for item in listed["items"]]
    return found
