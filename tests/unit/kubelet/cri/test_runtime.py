"""Calls of the runtime, against a server of this process."""

from pathlib import Path

import grpc
import grpc.aio
from cri_api.v1 import api_pb2 as pb

from pybernetes.kubelet.cri.runtime import CriRuntime


async def test_a_hook_may_take_as_long_as_it_wants_and_a_probe_may_not(tmp_path: Path) -> None:
    left: list[float | None] = []

    async def exec_sync(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        left.append(context.time_remaining())
        return pb.ExecSyncResponse(exit_code=3).SerializeToString()

    server = grpc.aio.server()
    handlers = {"ExecSync": grpc.unary_unary_rpc_method_handler(exec_sync)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("runtime.v1.RuntimeService", handlers),))
    server.add_insecure_port(f"unix:{tmp_path}/cri.sock")
    await server.start()
    runtime = CriRuntime(f"unix://{tmp_path}/cri.sock")
    try:
        assert (await runtime.exec("c", ("x",), 0)).exit_code == 3
        await runtime.exec("c", ("x",), 2)
    finally:
        await runtime.close()
        await server.stop(None)
    hook, probe = left
    assert hook is None or hook > 1e6
    assert probe is not None
    assert probe < 8
