"""What the kubelet knows of a runtime: plain values, no gRPC. runtime.py makes them; pod_machine.py decides on them."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol

from msgspec import Struct

from pybernetes.api.errors import Refused

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
RESTART_COUNT = "io.kubernetes.container.restartCount"
RESTART_DELAY = "io.kubernetes.container.restartDelay"
"""Seconds to wait after this container's end before the next: kept with the container, so a restart forgets nothing."""
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"


OOM_KILLED = "OOMKilled"
OOM_HEARD = 2.0
"""Seconds after an end in which the runtime may hear that the kernel has killed for want of memory."""
"""Exit code of SIGKILL, and the reason when the kernel sent it for want of memory. A runtime learns of the two apart."""


class RuntimeUnavailable(ConnectionError):
    """Nobody answers on the runtime's socket; it is worth trying again."""


class RuntimeRefused(Refused):
    """The runtime answered with an error. `code` is gRPC's name of it (`NOT_FOUND`, `UNKNOWN`)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def rpc(self) -> str:
        """As Go prints a gRPC status."""
        code = self.code.title().replace("_", "")
        return f"rpc error: code = {code} desc = {self.message}"


class State(Enum):
    """State of a container (CRI ContainerState)."""

    CREATED = 0
    RUNNING = 1
    EXITED = 2
    UNKNOWN = 3


class PodRef(Struct, frozen=True):
    """Names of a Pod, as the runtime's labels hold them."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Sandbox(Struct, frozen=True):
    """One Pod sandbox. Times are seconds since 1970."""

    id: str
    pod: PodRef
    attempt: int
    ready: bool
    created: float
    ips: tuple[str, ...] = ()


class User(Struct, frozen=True):
    """Whom a container's first process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


class Container(Struct, frozen=True):
    """One container. Times are seconds since 1970, 0 where there is none."""

    id: str
    sandbox: str
    pod: PodRef
    name: str
    attempt: int
    state: State
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_ref: str = ""
    log_path: str = ""
    restart_delay: float = 0.0
    annotations: Mapping[str, str] = {}
    user: User | None = None
    stop_signal: str = ""
    """As the runtime says it, `SIGTERM`; empty where it says none."""
    replaced: bool = False
    """The kubelet stopped it to put another in its place: its spec had changed."""

    @property
    def lives(self) -> bool:
        """It runs, or the runtime cannot tell: to be stopped before anything takes its place."""
        return self.state in (State.RUNNING, State.UNKNOWN)


class Image(Struct, frozen=True):
    """One image in the runtime's store. `size` in bytes."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    user: str = ""
    uid: int | None = None
    pinned: bool = False
    """Never removed to free space."""


class Credentials(Struct, frozen=True):
    """Who pulls."""

    username: str = ""
    password: str = ""
    server: str = ""
    identity_token: str = ""
    registry_token: str = ""


class Handler(Struct, frozen=True):
    """What one runtime handler (RuntimeClass) can; the default one has no name."""

    name: str = ""
    recursive_read_only: bool = False
    user_namespaces: bool = False


class RuntimeStatus(Struct, frozen=True):
    """Health of the runtime (CRI Status): of itself, and of the pod network."""

    ready: bool
    ready_message: str
    network_ready: bool
    network_reason: str
    network_message: str
    handlers: tuple[Handler, ...] = ()
    groups_policy: bool = False
    """Whether supplementalGroupsPolicy is obeyed."""


class Version(Struct, frozen=True):
    """`containerd`, `1.6.20`, `v1`."""

    name: str
    version: str
    api: str


class Port(Struct, frozen=True):
    """A container port published on the node."""

    protocol: str
    container_port: int
    host_port: int
    host_ip: str = ""


class Mount(Struct, frozen=True):
    """A bind mount into a container. `propagation`: 0 private, 1 from the host, 2 both ways."""

    host_path: str
    container_path: str
    read_only: bool = False
    propagation: int = 0


class Resources(Struct, frozen=True):
    """Limits of a container: v1 cpu shares, CFS quota and period in microseconds, bytes."""

    cpu_shares: int = 2
    cpu_quota: int = 0
    cpu_period: int = 100_000
    memory_limit: int = 0
    oom_score_adj: int = 0
    huge_pages: Mapping[str, int] = {}
    """Bytes by page size, `2MB`."""
    unified: Mapping[str, str] = {}
    """Files of cgroup v2, as they are to be written."""


class SELinux(Struct, frozen=True):
    """A label of SELinux; a runtime without SELinux takes no notice."""

    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class Profile(Struct, frozen=True):
    """Of seccomp or AppArmor. `kind` RuntimeDefault, Unconfined or Localhost; `ref` the profile's path or name."""

    kind: str = "Unconfined"
    ref: str = ""


class SandboxSpec(Struct, frozen=True):
    """What RunPodSandbox needs."""

    pod: PodRef
    attempt: int
    hostname: str
    log_directory: str
    cgroup_parent: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_processes: bool = False
    privileged: bool = False
    dns_servers: tuple[str, ...] = ()
    dns_searches: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    sysctls: Mapping[str, str] = {}
    run_as_user: int | None = None
    run_as_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    groups_policy: str = "Merge"
    selinux: SELinux | None = None
    runtime_handler: str = ""
    overhead: Resources | None = None


class Security(Struct, frozen=True):
    """The security context that the runtime applies."""

    privileged: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_name: str = ""
    """A user by name, where there is no number: the image's."""
    read_only_root: bool = False
    no_new_privileges: bool = False
    supplemental_groups: tuple[int, ...] = ()
    groups_policy: str = "Merge"
    seccomp: Profile = Profile()
    apparmor: Profile | None = None
    selinux: SELinux | None = None
    masked_paths: tuple[str, ...] = ()
    read_only_paths: tuple[str, ...] = ()
    target: str = ""
    """The id of a container whose processes this one shares."""


class ContainerSpec(Struct, frozen=True):
    """What CreateContainer needs."""

    name: str
    attempt: int
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    working_dir: str
    envs: tuple[tuple[str, str], ...]
    mounts: tuple[Mount, ...]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    log_path: str
    stdin: bool
    stdin_once: bool
    tty: bool
    resources: Resources
    security: Security
    stop_signal: str = ""
    """Of the spec, `SIGUSR1`; empty: the image's, or SIGTERM."""


class ExecResult(Struct, frozen=True):
    """What a command in a container said."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class StreamOptions(Struct, frozen=True):
    """Which streams an exec or attach wants."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class PodRuntime(Protocol):
    """Sandboxes and containers. Every method raises RuntimeUnavailable and RuntimeRefused; what is gone is no error."""

    async def version(self) -> Version: ...
    async def status(self) -> RuntimeStatus: ...
    async def sandboxes(self, uid: str = "") -> Sequence[Sandbox]: ...
    async def containers(self, uid: str = "") -> Sequence[Container]: ...
    async def sandbox(self, known: Sandbox) -> Sandbox | None: ...
    async def container(self, known: Container) -> Container | None: ...
    async def run_sandbox(self, spec: SandboxSpec) -> str: ...
    async def stop_sandbox(self, sandbox: str) -> None: ...
    async def remove_sandbox(self, sandbox: str) -> None: ...
    async def create_container(self, sandbox: str, spec: ContainerSpec, pod: SandboxSpec) -> str: ...
    async def start_container(self, container: str) -> None: ...
    async def update_container(self, container: str, resources: Resources) -> None: ...
    async def stop_container(self, container: str, grace: float) -> None: ...
    async def remove_container(self, container: str) -> None: ...
    async def exec(self, container: str, command: Sequence[str], timeout: float) -> ExecResult: ...


class ImageRuntime(Protocol):
    """The image half of CRI."""

    async def image(self, name: str) -> Image | None: ...
    async def images(self) -> Sequence[Image]: ...
    async def pull(self, name: str, credentials: Credentials | None) -> str: ...


class StreamRuntime(Protocol):
    """Where the runtime serves interactive streams: each returns a URL, good for one use."""

    async def exec_url(self, container: str, command: Sequence[str], streams: StreamOptions) -> str: ...
    async def attach_url(self, container: str, streams: StreamOptions) -> str: ...
    async def port_forward_url(self, sandbox: str, ports: Sequence[int]) -> str: ...
    async def reopen_log(self, container: str) -> None: ...

    async def checkpoint(self, container: str, location: str, timeout: int) -> None:
        """Writes what a running container is into a file; within `timeout` seconds, where that is not 0."""


class Layer(Struct, frozen=True):
    """What a container has written into its own file system, in bytes and inodes."""

    size: int
    inodes: int


class StorageRuntime(Protocol):
    """What the runtime keeps on disk."""

    async def image_folder(self) -> str:
        """A folder of the file system that holds images and containers; empty where the runtime does not say."""

    async def layers(self, uid: str) -> Mapping[str, Layer]:
        """By id, of the containers of one Pod (empty: of all), as the runtime measured lately."""

    async def used_images(self) -> frozenset[str]:
        """What containers, running or not, were made from, by every name; and what the runtime needs itself."""

    async def remove_image(self, id: str) -> None:
        """Gone already is fine."""


class HostMount(Struct, frozen=True):
    """How something is mounted on the node: arguments of mount(8)."""

    kind: str
    source: str
    options: tuple[str, ...] = ()


class ViewRuntime(Protocol):
    """Images as read-only file systems. `key` is the caller's name of a view."""

    async def view(self, image: str, key: str, now: str) -> HostMount:
        """Of an image that is here; the same again for the same key. `now` is RFC 3339."""

    async def release(self, key: str) -> None:
        """Gone already is fine."""


class Runtime(PodRuntime, ImageRuntime, StreamRuntime, StorageRuntime, ViewRuntime, Protocol):
    """A whole runtime."""

    async def network_folder(self) -> str:
        """Where it looks for the pod network's configuration; empty where it does not say."""

    def pid(self) -> int | None:
        """The process that serves its socket; None where that cannot be told. Blocking."""
