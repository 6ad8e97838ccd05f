"""kubectl from argv to exit code: finds the command, reads its flags, runs it, prints errors as kubectl does. Next: session.py."""

import asyncio
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from pybernetes.api.errors import ApiError
from pybernetes.kubectl import commands
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.flags import Flags, UsageError, add_global_flags
from pybernetes.kubectl.session import Session

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

EXTENSIONS = "pybernetes.kubectl_commands"
_VALUED = {"-n", "--namespace", "--kubeconfig", "--context", "--cluster", "--user", "-s", "--server", "--token"}


def run(argv: Sequence[str]) -> int:
    """The whole command line; returns the exit code."""
    name, rest = _split(list(argv))
    if not name or name == "help":
        print(_overview())
        return 0
    command = _find(name)
    if command is None:
        print(f'error: unknown command "{name}" for "kubectl"', file=sys.stderr)
        return 1
    flags = Flags(name, command.help, f"kubectl {command.usage}")
    command.flags(flags)
    add_global_flags(flags)
    if "-h" in rest or "--help" in rest[: rest.index("--") if "--" in rest else None]:
        flags.epilog = f"Examples:\n{command.examples}" if command.examples else None
        print(flags.format_help())
        return 0
    try:
        return asyncio.run(_run(command, flags, rest))
    except (Refused, UsageError) as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return refusal.code if isinstance(refusal, Refused) else 1
    except ApiError as error:
        print(server_error(error), file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(_connection_error(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def server_error(error: ApiError) -> str:
    """An API error as kubectl prints it."""
    if error.reason == "Invalid":
        return f"The {_kind_of(error)} is invalid: {_details(error)}" if error.details.get("causes") else error.message
    if error.reason == "Unauthorized":
        return "error: You must be logged in to the server (Unauthorized)"
    return f"Error from server ({error.reason}): {error.message}"


def _kind_of(error: ApiError) -> str:
    kind, name = error.details.get("kind", ""), error.details.get("name", "")
    return f'{kind} "{name}"' if name else str(kind)


def _details(error: ApiError) -> str:
    texts = [f"{cause.get('field', '')}: {cause.get('message', '')}" for cause in error.details["causes"]]
    return texts[0] if len(texts) == 1 else "\n" + "\n".join(f"* {text}" for text in texts)


def _connection_error(error: OSError) -> str:
    text = str(error)
    if "connection refused" in text.lower():
        host = text.partition("dial tcp ")[2].partition(": ")[0] or "localhost:8080"
        return f"The connection to the server {host} was refused - did you specify the right host or port?"
    return f"Unable to connect to the server: {text}"


async def _run(command: Command, flags: Flags, argv: Sequence[str]) -> int:
    options = flags.read(argv)
    session = Session(options)
    try:
        return await command.run(session, options)
    finally:
        await session.close()


def _split(argv: list[str]) -> tuple[str, list[str]]:
    """The command's name (first word that is no global flag or its value) and the other words."""
    index = 0
    while index < len(argv):
        word = argv[index]
        if word in _VALUED:
            index += 2
        elif word.startswith("-"):
            index += 1
        else:
            return word, argv[:index] + argv[index + 1 :]
    return "", argv


def _names() -> list[str]:
    return [info.name.replace("_", "-") for info in iter_modules(commands.__path__) if not info.name.startswith("_")]


def _extensions() -> list["EntryPoint"]:
    from importlib.metadata import entry_points  # 20 ms, needed for help and unknown commands only

    return sorted(entry_points(group=EXTENSIONS), key=lambda point: point.name)


def _find(name: str) -> Command | None:
    if name in _names():
        found = import_module(f"{commands.__name__}.{name.replace('-', '_')}").COMMAND
    else:
        found = next((point.load() for point in _extensions() if point.name == name), None)
    return found if isinstance(found, Command) else None


def _overview() -> str:
    lines = ["kubectl controls the Kubernetes cluster manager.", "", "Commands:"]
    for name in [*_names(), *(point.name for point in _extensions())]:
        command = _find(name)
        lines.append(f"  {name:<16} {command.help if command else ''}")
    lines += ["", "Usage:", "  kubectl [flags] COMMAND [arguments]", "", 'Use "kubectl COMMAND --help" for a command.']
    return "\n".join(lines)
