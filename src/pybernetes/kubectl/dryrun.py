"""`--dry-run`: what several commands take and how they say it."""

import argparse

from pybernetes.kubectl.flags import Flags


def add_dry_run_flag(flags: Flags) -> None:
    """`--dry-run=none|client|server`; bare `--dry-run` is client, as kubectl has it."""
    flags.add_argument(
        "--dry-run",
        nargs="?",
        const="client",
        default="none",
        choices=["none", "client", "server"],
        help="send nothing, or change nothing",
    )


def dry_run_query(options: argparse.Namespace) -> dict[str, str]:
    """Query parameters of a write."""
    return {"dryRun": "All"} if options.dry_run == "server" else {}


def dry_run_suffix(options: argparse.Namespace) -> str:
    """What follows `created`."""
    return {"client": " (dry run)", "server": " (server dry run)"}.get(options.dry_run, "")
