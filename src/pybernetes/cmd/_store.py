"""`pybernetes store`: its flags and help. _store_work.py does the work; docs/howto/store.md walks through it."""

import argparse
import sys
from functools import partial
from pathlib import Path

from pybernetes.cmd._flags import count, lasting

STORE_PATH = Path("/var/lib/pybernetes/store.db")
BUMP = 1_000_000_000
"""As store._sqlite_restore has it, which is imported only when it is used."""
WHERE = "a store is named BACKEND:LOCATION, as sqlite:/var/lib/pybernetes/store.db or etcd:https://10.0.0.1:2379"
_REVISIONS = f"""resourceVersions: a SQLite store keeps that of every object, and goes on counting --bump-revision
({BUMP} by default; 0 for `migrate`) further on, so that clients which saw what came after the dump are told to list anew
(410 Gone) instead of missing it. An etcd counts by itself: every object gets a new one there, and components that ran
before must be started again. History is not taken over by either. Events get a new --event-ttl."""


def add_store(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and what it runs."""
    parser = commands.add_parser(
        "store", help="dump, restore, move the cluster's state; snapshots of it", description=f"The store: {WHERE}."
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def verb(name: str, help: str, more: str = "") -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=help, description=f"{help}; {WHERE}. {more}")
        sub.set_defaults(run=partial(_run, name))
        return sub

    sub = verb("dump", "write all keys of a store that no API server uses to a file (of etcd: any time)")
    sub.add_argument("store", metavar="FROM", help="the store to read")
    sub.add_argument("file", metavar="FILE", nargs="?", default="-", help="the file to write (default -: to stdout)")
    sub = verb("restore", "fill a store from a dump", _REVISIONS)
    sub.add_argument("file", metavar="FILE", help="what `store dump` wrote; -: from stdin")
    _target(sub, BUMP)
    sub = verb("migrate", "move a cluster's state from one store to another", _REVISIONS)
    sub.add_argument("store", metavar="FROM", help="the store to read; it is left as it is")
    _target(sub, 0)
    _add_snapshot(verbs)


def _target(sub: argparse.ArgumentParser, bump: int) -> None:
    sub.add_argument("target", metavar="TO", help="the store to fill; no API server may use it meanwhile")
    sub.add_argument(
        "--replace",
        action="store_true",
        help="of sqlite: put it in place of a store that is there, which is kept beside it (else TO must be empty)",
    )
    sub.add_argument("--event-ttl", type=lasting, default=3600.0, metavar="DURATION", help="as the API server's (1h)")
    sub.add_argument(
        "--bump-revision",
        type=count,
        default=bump,
        metavar="N",
        help=f"of sqlite: how far the store's revision is moved on (default {bump})",
    )


def _add_snapshot(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser("snapshot", help="save, list, restore snapshots of an API server's SQLite store")
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def kind(name: str, help: str) -> argparse.ArgumentParser:
        sub = kinds.add_parser(name, help=help, description=help)
        sub.set_defaults(run=partial(_run, f"snapshot {name}"))
        sub.add_argument("--storage-path", type=Path, default=STORE_PATH, help=f"the store (default {STORE_PATH})")
        sub.add_argument(
            "--storage-snapshot-dir", type=Path, default=None, help="the folder (default: snapshots, beside the store)"
        )
        return sub

    sub = kind("save", "take a snapshot, while the API server runs or not; neither reads nor writes wait for it")
    sub.add_argument(
        "--keep", type=count, default=0, metavar="N", help="then delete all but the newest N (default: none)"
    )
    sub = kind("list", "list the snapshots, the newest first")
    sub.add_argument("--verify", action="store_true", help="read every row of each; 1 if one is damaged")
    sub = kind(
        "restore",
        "put a snapshot in place of the store, which is kept beside it; stop the API server first, and start it after. "
        "Objects keep their resourceVersions; watches of before are told to list anew (410 Gone)",
    )
    sub.add_argument("snapshot", nargs="?", default="", help="name or path of the snapshot (default: the newest)")
    sub.add_argument(
        "--bump-revision",
        type=count,
        default=BUMP,
        metavar="N",
        help=f"how far the store's revision is moved on, beyond all that clients may have seen (default {BUMP})",
    )


async def _run(name: str, options: argparse.Namespace) -> int:
    """What a store refuses is one line and code 1."""
    from pybernetes.cmd._store_work import EXPECTED, VERBS

    try:
        return await VERBS[name](options)
    except EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
