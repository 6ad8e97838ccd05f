"""Soak of the API by its own description: schemathesis makes requests from our OpenAPI documents, over real HTTP.

`python -m tools.soak.openapi --rounds N [--seed S]`. A round is N requests an operation, at the most: no answer is a 5xx, and
each has a form that the document names.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from pybernetes.aio.clock import SystemClock
from pybernetes.api.objects import User
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.transport import direct
from pybernetes.store.memory import MemoryStore
from pybernetes.wire.server import HttpServer

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
HOOKS = "tools.soak._openapi_hooks"
_ROOT = Path(__file__).parents[2]
_STREAMS = "/watch/|proxy|attach|exec|portforward|log$"
_CHECKS = "not_a_server_error,content_type_conformance"


def command() -> Path:
    """schemathesis' own; there is none where the development dependencies are not installed."""
    return Path(sys.executable).parent / "st"


async def run(documents: Sequence[str], examples: int, seed: int) -> list[str]:
    """What was found wrong, a text a document (`api/v1`, `apis/apps/v1`; none: all of them)."""
    server = ApiServer(Config(), MemoryStore(), SystemClock(seed=seed))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.ready.wait()
        http = HttpServer(direct(server.handler, ADMIN))
        await http.start()
        wanted = documents or sorted({_document(one.facts.group, one.facts.version) for one in server.catalog})
        found = [await _faults(http.port, document, examples, seed) for document in wanted]
        await http.stop()
        running.cancel()
    return [text for text in found if text]


def _document(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


async def _faults(port: int, document: str, examples: int, seed: int) -> str:
    url = f"http://127.0.0.1:{port}"
    words = ["run", f"{url}/openapi/v3/{document}", "--url", url, "--phases", "fuzzing", "--checks", _CHECKS]
    words += ["--exclude-path-regex", _STREAMS, "--max-examples", str(examples), "--seed", str(seed)]
    words += ["--request-timeout", "30", "--no-color"]
    process = await asyncio.create_subprocess_exec(
        command(),
        *words,
        env={"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(_ROOT), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return "" if process.returncode == 0 else f"{document} (--seed {seed}):\n{said.decode(errors='replace')}"


def main() -> int:
    """0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.openapi", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="requests an operation")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    if not command().exists():
        print("schemathesis is missing: make setup", file=sys.stderr)
        return 2
    print(f"seed {options.seed}", flush=True)
    faults = asyncio.run(run((), options.rounds, options.seed))
    print("\n".join(faults) or "no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
