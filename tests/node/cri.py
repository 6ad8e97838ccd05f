"""Raw CRI calls for tests: a Pod sandbox with one container, without a kubelet."""

import asyncio
from pathlib import Path

import grpc
from cri_api.v1 import api_pb2 as cri
from cri_api.v1 import api_pb2_grpc as cri_grpc


class Cri:
    """CRI of one node, through the node's socket as seen from outside."""

    def __init__(self, socket: Path) -> None:
        self.channel = grpc.insecure_channel(f"unix://{socket}")
        self.runtime = cri_grpc.RuntimeServiceStub(self.channel)
        self.images = cri_grpc.ImageServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def version(self) -> str:
        return self.runtime.Version(cri.VersionRequest(), timeout=10, wait_for_ready=True).runtime_name

    def pull(self, image: str) -> str:
        return self.images.PullImage(cri.PullImageRequest(image=cri.ImageSpec(image=image)), timeout=60).image_ref

    def run_pod(
        self, name: str, image: str, command: list[str], *, host_network: bool = True, host_port: int = 0
    ) -> tuple[str, str]:
        """Starts a Pod; (sandbox id, container id)."""
        config = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, uid=f"{name}-uid", namespace="default"),
            hostname="" if host_network else name,
            log_directory=f"/var/log/pods/{name}",
            port_mappings=[cri.PortMapping(host_port=host_port, container_port=8080)] if host_port else [],
            linux=cri.LinuxPodSandboxConfig(
                cgroup_parent=f"/kubepods/pod{name}",
                security_context=cri.LinuxSandboxSecurityContext(
                    namespace_options=cri.NamespaceOption(
                        network=cri.NODE if host_network else cri.POD, pid=cri.CONTAINER, ipc=cri.POD
                    )
                ),
            ),
        )
        sandbox = self.runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=config), timeout=60).pod_sandbox_id
        container = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name="main"),
            image=cri.ImageSpec(image=image),
            command=command,
            log_path="main.log",
            linux=cri.LinuxContainerConfig(
                security_context=cri.LinuxContainerSecurityContext(
                    namespace_options=config.linux.security_context.namespace_options
                )
            ),
        )
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox, config=container, sandbox_config=config)
        made = self.runtime.CreateContainer(request, timeout=60).container_id
        self.runtime.StartContainer(cri.StartContainerRequest(container_id=made), timeout=60)
        return sandbox, made

    def address(self, sandbox: str) -> str:
        return self.runtime.PodSandboxStatus(cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox)).status.network.ip

    def exec(self, container: str, command: list[str], timeout: int = 10) -> tuple[int, str]:
        request = cri.ExecSyncRequest(container_id=container, cmd=command, timeout=timeout)
        answer = self.runtime.ExecSync(request, timeout=timeout + 5)
        return answer.exit_code, (answer.stdout + answer.stderr).decode()

    def state(self, container: str) -> int:
        status = self.runtime.ContainerStatus(cri.ContainerStatusRequest(container_id=container), timeout=10)
        return status.status.state

    def network_ready(self) -> bool:
        status = self.runtime.Status(cri.StatusRequest(), timeout=10).status
        return {c.type: c.status for c in status.conditions}["NetworkReady"]

    def remove(self, sandbox: str) -> None:
        self.runtime.StopPodSandbox(cri.StopPodSandboxRequest(pod_sandbox_id=sandbox), timeout=60)
        self.runtime.RemovePodSandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox), timeout=60)


async def until(condition, what: str, timeout: float = 20.0) -> None:
    """Waits for the world outside (real processes): the one place of these tests that polls."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not await condition() if asyncio.iscoroutinefunction(condition) else not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what}: not within {timeout} s"
        await asyncio.sleep(0.05)
