"""POST /checkpoint/<namespace>/<pod>/<container>: what a running container has in memory and on disk, as a file of the node.

The runtime does it (KEP-2008), where it can.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import InternalError, NotFound
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cri.model import RuntimeRefused, State, StreamRuntime
from pybernetes.kubelet.server.lookup import Find, PodHere, worker_of

FOLDER = "checkpoints"
"""Below the kubelet's own."""


async def checkpoint(
    find: Find[PodHere], runtime: StreamRuntime, root: Path, rest: list[str], query: Mapping[str, list[str]], now: float
) -> dict[str, list[str]]:
    """Makes one and says where it is. Raises NotFound, InternalError with what the runtime said."""
    if len(rest) != 3:
        raise NotFound("404: Page Not Found")
    namespace, name, container = rest
    worker = worker_of(find, namespace, name)
    assert worker.pod is not None
    spec = worker.pod.spec
    every = {c.name for c in (*spec.containers, *spec.initContainers)} | {c.name for c in spec.ephemeralContainers}
    if container not in every:
        raise NotFound(f"container {container} does not exist")
    timeout = query.get("timeout", ["0"])[-1]
    if not timeout.removeprefix("-").isdecimal():
        raise NotFound("cannot parse value of timeout parameter")
    file = root / FOLDER / f"checkpoint-{name}_{namespace}-{container}-{rfc3339(now)}.tar"
    failed = f"checkpointing of {namespace}/{name}/{container} failed"
    run = next((r for r in machine.by_name(worker.observed).get(container, ()) if r.state == State.RUNNING), None)
    if run is None:
        raise InternalError(f"{failed} (container {container} not found)")
    try:
        await asyncio.to_thread(file.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        await runtime.checkpoint(run.id, str(file), int(timeout))
    except RuntimeRefused as refused:
        raise InternalError(f"{failed} ({refused.rpc})") from None
    except OSError as error:
        raise InternalError(f"{failed} ({error})") from None
    return {"items": [str(file)]}
