"""A node as namespaces on this machine: power on, power off, commands inside. Its first process is init.py.

A node has its own net, mount, UTS, IPC, PID and cgroup namespaces and its own disk below the cluster's state folder.
Killing its first process is a power cut: the kernel takes every process, mount and link of the node with it.
"""

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from pybernetes.kernel import mounts
from pybernetes.kernel.cgroups import Cgroup
from pybernetes.kernel.processes import ProcessRef, kill_and_wait
from pybernetes.localcluster.errors import LocalClusterError, MissingRequirement, NodeDown
from pybernetes.localcluster.init import node_path
from pybernetes.localcluster.spec import STATE_DIR, NodeSpec
from pybernetes.localcluster.switch import Switch

log = logging.getLogger(__name__)

_END = 15.0
"""Seconds in which the kernel must have ended every process of a node."""

# The shell joins the node's control groups before it enters the namespaces; nsenter changes only the view of them.
# setpriv: a command whose nsenter is killed dies too.
_ENTER = (
    'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 126; shift; done; shift; pid="$1"; shift; '
    'exec nsenter -t "$pid" -m -u -i -n -p -C -- setpriv --pdeathsig KILL -- "$@"'
)


@dataclass(frozen=True)
class Result:
    """How a command in a node ended."""

    code: int
    out: str
    err: str

    def check(self) -> str:
        """The output; raises LocalClusterError with the last line of the errors where the command failed."""
        if self.code:
            last = (self.err.strip() or self.out.strip() or "no output").splitlines()[-1]
            raise LocalClusterError(f"command in node failed with {self.code}: {last}")
        return self.out


def node_disk(cluster: str, node: str, base: Path = STATE_DIR) -> Path:
    """The folder that is a node's disk."""
    return base / cluster / "nodes" / node


def check_machine(state_dir: Path, *, containers: bool = True) -> None:
    """Raises MissingRequirement with the mend where nodes cannot run here."""
    if os.geteuid() != 0:
        raise MissingRequirement("nodes need root: run with sudo, or use --simulated-nodes N")
    wanted = {"nsenter": "util-linux", "setpriv": "util-linux"}
    if containers:
        wanted |= {"containerd": "containerd", "ctr": "containerd", "runc": "runc"}
        wanted |= {"docker-registry": "docker-registry"}
    for program, package in wanted.items():
        if shutil.which(program, path=node_path()) is None:
            raise MissingRequirement(f"{program} is missing: apt-get install {package} (or make setup)")
    for module in ("pyroute2", "grpc", "cri_api"):
        if find_spec(module) is None:
            raise MissingRequirement(f"the Python module {module} is missing: pip install 'pybernetes[node]'")
    if mounts.filesystem_of(state_dir) == "overlay":
        raise MissingRequirement(
            f"{state_dir} lies on an overlay file system, where containers cannot have theirs: "
            "choose a folder on a disk with --state-dir"
        )


class NodeSandbox:
    """One node. Its state is in its folder, so another process may hold the same node."""

    def __init__(self, spec: NodeSpec, switch: Switch) -> None:
        self.spec = spec
        self._switch = switch
        self._listen: dict[str, int] = {}
        self._state = Path(spec.state_dir)

    @property
    def name(self) -> str:
        """The node's name."""
        return self.spec.name

    def process(self) -> ProcessRef | None:
        """The node's first process, or None while it is off."""
        try:
            noted = json.loads((self._state / "init.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        process = ProcessRef(noted["pid"], noted["started"])
        return process if process.alive() else None

    @property
    def running(self) -> bool:
        """Whether it is on."""
        return self.process() is not None

    @property
    def pid(self) -> int:
        """Pid of the first process on this machine. Raises NodeDown."""
        process = self.process()
        if process is None:
            raise NodeDown(f"node {self.name} is powered off")
        return process.pid

    @property
    def netns(self) -> str:
        """Path to its network namespace, for a NamespaceThread."""
        return f"/proc/{self.pid}/ns/net"

    def path(self, inside: str) -> Path:
        """A path of the node as seen from outside, while it is on."""
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    async def start(self, listen: Mapping[str, int] | None = None) -> None:
        """Powers on. `listen` hands listening sockets (service name -> open file) to services as sd_listen_fds(3) does.

        They are handed on again at each power_on(). Raises LocalClusterError.
        """
        if listen is not None:
            self._listen = dict(listen)
        if self.running:
            return
        check_machine(self._state, containers=False)
        await asyncio.to_thread(self._clean)
        self._state.mkdir(parents=True, exist_ok=True)
        spec_file = self._state / "spec.json"
        # A listening socket keeps its number from here to the node's services
        spec_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(self.spec, listen=self._listen)))
        launcher = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pybernetes.localcluster.init", str(spec_file),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=tuple(self._listen.values()), cwd="/", env={"PATH": node_path()},
        )  # fmt: skip
        try:
            await self._bring_up(launcher)
        except BaseException:
            await asyncio.shield(self.power_off())
            raise

    async def _bring_up(self, launcher: asyncio.subprocess.Process) -> None:
        assert launcher.stdin is not None
        try:
            process = ProcessRef.of(int((await self._answer(launcher))["pid"]))
            (self._state / "init.json").write_text(json.dumps({"pid": process.pid, "started": process.started}))
            await self._switch.plug(process.pid, self.spec.name, f"{self.spec.address}/{self.spec.prefix}")
            launcher.stdin.write(b"go\n")
            await launcher.stdin.drain()
            await self._answer(launcher)
        except (ProcessLookupError, ConnectionError) as error:
            raise LocalClusterError(f"node {self.name} ended while it started") from error
        finally:
            launcher.stdin.close()
        await launcher.wait()
        log.info("powered on node=%s address=%s pid=%d", self.name, self.spec.address, process.pid)

    async def _answer(self, launcher: asyncio.subprocess.Process) -> dict[str, Any]:
        assert launcher.stdout is not None
        assert launcher.stderr is not None
        line = await launcher.stdout.readline()
        if not line:
            tail = (await launcher.stderr.read()).decode(errors="replace").strip().splitlines()
            raise LocalClusterError(f"node {self.name} did not start: {tail[-1] if tail else 'it said nothing'}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LocalClusterError(f"node {self.name} did not start: {answer['error']}")
        return answer

    async def power_off(self) -> None:
        """A power cut: nothing in the node gets a chance to say anything. Harmless when it is off."""
        await asyncio.to_thread(self._clean)

    async def power_on(self) -> None:
        """Starts it again with the disk it had."""
        await self.start()

    async def remove(self) -> None:
        """Powers off and destroys the disk."""
        await self.power_off()
        await asyncio.to_thread(shutil.rmtree, self._state, ignore_errors=True)

    def _clean(self) -> None:
        process = self.process()
        if process is not None and not kill_and_wait(process, _END):
            raise LocalClusterError(f"node {self.name} did not power off in {_END:.0f} s")
        group = Cgroup(self.spec.cgroup)
        group.kill(_END)  # processes that were put into the group from outside
        group.remove()
        (self._state / "init.json").unlink(missing_ok=True)

    def command(self, argv: Sequence[str]) -> list[str]:
        """The same command for this machine: it runs `argv` in the node's namespaces and control groups."""
        group = Cgroup(self.spec.cgroup)
        folders = [str(f / "init") if group.pure_v2 else str(f) for f in group.folders()]
        return ["/bin/sh", "-c", _ENTER, "sh", *folders, "--", str(self.pid), *argv]

    async def spawn(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: int | None = None,
        stdout: int | None = None, stderr: int | None = None,
    ) -> asyncio.subprocess.Process:  # fmt: skip
        """Starts a command in the node; killing the returned process kills it."""
        return await asyncio.create_subprocess_exec(
            *self.command(argv), env=self.environment(env), cwd="/", stdin=stdin, stdout=stdout, stderr=stderr
        )

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a login on the node would have."""
        return {"PATH": node_path(), "HOME": "/root", "LANG": "C.UTF-8", **(more or {})}

    async def exec(
        self, argv: Sequence[str], *, stdin: bytes | None = None, env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Result:  # fmt: skip
        """Runs a command in the node to its end. Raises NodeDown, or LocalClusterError after `timeout` seconds."""
        pipe = subprocess.PIPE
        process = await self.spawn(
            argv, env=env, stdin=pipe if stdin is not None else subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin), timeout)
        except TimeoutError as error:
            raise LocalClusterError(f"{argv[0]} in node {self.name} did not end in {timeout:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Result(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))
