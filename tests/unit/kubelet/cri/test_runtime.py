"""Calls of the runtime, against a server of this process."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cri_api.v1 import api_pb2 as pb

from pybernetes.aio.clock import SystemClock
from pybernetes.kubelet.cri.fields import fields
from pybernetes.kubelet.cri.model import State
from pybernetes.kubelet.cri.runtime import CriRuntime

CRI = "runtime.v1.RuntimeService"
TASKS = "containerd.services.tasks.v1.Tasks"
Handler = Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]


@asynccontextmanager
async def runtime_of(folder: Path, **services: Mapping[str, Handler]) -> AsyncIterator[CriRuntime]:
    server = grpc.aio.server()
    for service, handlers in services.items():
        methods: dict[str, Any] = {n: grpc.unary_unary_rpc_method_handler(handler) for n, handler in handlers.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    server.add_insecure_port(f"unix:{folder}/cri.sock")
    await server.start()
    runtime = CriRuntime(f"unix://{folder}/cri.sock", SystemClock())
    try:
        yield runtime
    finally:
        await runtime.close()
        await server.stop(None)


async def test_a_hook_may_take_as_long_as_it_wants_and_a_probe_may_not(tmp_path: Path) -> None:
    left: list[float | None] = []

    async def exec_sync(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        left.append(context.time_remaining())
        return pb.ExecSyncResponse(exit_code=3).SerializeToString()

    async with runtime_of(tmp_path, **{CRI: {"ExecSync": exec_sync}}) as runtime:
        assert (await runtime.exec("c", ("x",), 0)).exit_code == 3
        await runtime.exec("c", ("x",), 2)
    hook, probe = left
    assert hook is None or hook > 1e6
    assert probe is not None
    assert probe < 8


class HalfStarted:
    """containerd 1.6 after the caller of StartContainer was killed: exited for CRI, its tasks still there."""

    def __init__(self, *tasks: str, message: str = "failed to get task pid: context canceled: unknown") -> None:
        self.tasks = dict.fromkeys(tasks, "running")
        self.there = {"c1", *tasks}
        self.message = message

    def services(self) -> Mapping[str, Mapping[str, Handler]]:
        return {
            CRI: {
                "RemovePodSandbox": self.remove_sandbox,
                "RemoveContainer": self.remove_container,
                "ListContainers": self.list,
                "ContainerStatus": self.status,
            },
            TASKS: {"Kill": self.kill, "Wait": self.wait, "Delete": self.delete},
        }

    async def remove_sandbox(self, _: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        for id in sorted(self.there):
            await self._remove(id, context)
        return b""

    async def remove_container(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await self._remove(pb.RemoveContainerRequest.FromString(request).container_id, context)
        return b""

    async def _remove(self, id: str, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        if id in self.tasks:
            why = f"failed to delete container: cannot delete running task {id}: failed precondition"
            await context.abort(grpc.StatusCode.UNKNOWN, why)
        self.there.discard(id)

    async def list(self, *_: object) -> bytes:
        exited = [pb.Container(id=id, state=pb.CONTAINER_EXITED) for id in sorted(self.there)]
        return bytes(pb.ListContainersResponse(containers=exited).SerializeToString())

    async def status(self, request: bytes, _: object) -> bytes:
        id = pb.ContainerStatusRequest.FromString(request).container_id
        status = pb.ContainerStatus(
            id=id, state=pb.CONTAINER_EXITED, exit_code=128, reason="StartError", message=self.message
        )
        return bytes(pb.ContainerStatusResponse(status=status).SerializeToString())

    async def kill(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        assert dict(context.invocation_metadata() or ())["containerd-namespace"] == "k8s.io"
        said = dict(fields(request))
        assert (said[3], said[4]) == (9, 1)
        return await self._move(said, "running", "stopped", context)

    async def wait(self, *_: object) -> bytes:
        return b""

    async def delete(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        said = dict(fields(request))
        await self._move(said, "stopped", "gone", context)
        assert isinstance(said[1], bytes)
        del self.tasks[said[1].decode()]
        return b""

    async def _move(
        self, said: Mapping[int, bytes | int], old: str, new: str, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        assert isinstance(said[1], bytes)
        id = said[1].decode()
        if self.tasks.get(id) != old:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not so")
        self.tasks[id] = new
        return b""


async def test_a_sandbox_whose_containers_were_half_started_can_be_removed(tmp_path: Path) -> None:
    containerd = HalfStarted("c1", "c2")
    async with runtime_of(tmp_path, **containerd.services()) as runtime:
        await runtime.remove_sandbox("s")
    assert (containerd.there, containerd.tasks) == (set(), {})


async def test_a_task_that_has_ended_is_removed_all_the_same(tmp_path: Path) -> None:
    containerd = HalfStarted("c1")
    containerd.tasks["c1"] = "stopped"
    async with runtime_of(tmp_path, **containerd.services()) as runtime:
        await runtime.remove_container("c1")
    assert containerd.there == set()


async def test_a_run_whose_start_was_called_off_has_never_been(tmp_path: Path) -> None:
    containerd = HalfStarted("c1")
    async with runtime_of(tmp_path, **containerd.services()) as runtime:
        assert await runtime.containers("uid") == []
    assert containerd.there == set()


async def test_a_run_that_could_not_be_started_is_told(tmp_path: Path) -> None:
    containerd = HalfStarted(message="exec: no such file")
    async with runtime_of(tmp_path, **containerd.services()) as runtime:
        (run,) = await runtime.containers("uid")
    assert (run.state, run.reason, run.exit_code) == (State.EXITED, "StartError", 128)
