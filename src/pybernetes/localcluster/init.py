"""A node's first process: `python -m pybernetes.localcluster.init SPEC.json`. Started by sandbox.py.

Enters the node's control group, makes its namespaces and forks: the child is PID 1 of the node, the parent ends. Their
talk with the sandbox, one JSON line each: {"pid": n} -> (the cable is plugged in) -> a line on stdin ->
{"ready": true} or {"error": "..."}. End of file on stdin before that line: the sandbox is gone, the node ends.
"""

import asyncio
import json
import logging
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import msgspec

from pybernetes.aio.clock import SystemClock
from pybernetes.kernel import namespaces as ns
from pybernetes.kernel.cgroups import Cgroup, enable_controllers
from pybernetes.localcluster import machine
from pybernetes.localcluster.doors import open_doors
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.services import Service, ServiceFiles
from pybernetes.localcluster.spec import LOG_DIR, SYSTEM_PATH, NodeSpec
from pybernetes.localcluster.supervisor import Supervisor

log = logging.getLogger(__name__)


def main() -> int:
    """Runs until the node is powered off."""
    spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=NodeSpec)
    os.umask(0o022)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # services and containers inherit it; a shell's is small
    try:
        child = _divide(spec)
    except OSError as error:
        print(json.dumps({"error": f"cannot make namespaces: {error}"}), flush=True)
        return 1
    if child:
        print(json.dumps({"pid": child}), flush=True)
        return 0
    try:
        machine.build(spec)
    except (OSError, LocalClusterError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    if not sys.stdin.readline():
        return 1
    print(json.dumps({"ready": True}), flush=True)
    _quiet()
    asyncio.run(_supervise(spec))
    return 0


def node_path() -> str:
    """PATH inside a node: the machine's own, after the folder of the console scripts of this installation."""
    return f"{Path(sys.executable).parent}:{SYSTEM_PATH}"


def _divide(spec: NodeSpec) -> int:
    """Makes the namespaces and forks; 0 in the child."""
    group = Cgroup(spec.cgroup)
    group.create()
    if spec.memory_bytes:
        group.limit_memory(spec.memory_bytes)
    group.add()
    ns.unshare(ns.NEWCGROUP)  # after joining: the group is the node's root
    if group.pure_v2:
        leaf = Cgroup(f"{spec.cgroup}/init")  # a v2 group has processes or controllers for children, not both
        leaf.create()
        leaf.add()
        for folder in group.folders():
            enable_controllers(folder)
    ns.unshare(ns.NEWNET | ns.NEWNS | ns.NEWUTS | ns.NEWIPC | ns.NEWPID)
    os.setsid()
    return os.fork()


def _quiet() -> None:
    """Standard streams of a daemon: nothing in, the node's own log out."""
    null = os.open("/dev/null", os.O_RDONLY)
    out = os.open(f"{LOG_DIR}/init.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(out)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)


async def _supervise(spec: NodeSpec) -> None:
    supervisor = Supervisor(ServiceFiles(), NodeProcesses(), SystemClock())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, supervisor.tick)
    loop.add_signal_handler(signal.SIGTERM, supervisor.stop)
    log.info("node up name=%s address=%s", spec.name, spec.address)
    doors = await open_doors(spec.listen)
    try:
        await supervisor.run()
    finally:
        for door in doors:
            door.close()


class NodeProcesses:
    """Starts services as children of PID 1. Nothing else in this process starts or reaps children."""

    def __init__(self) -> None:
        self._env = {"PATH": node_path(), "HOME": "/root", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}

    def start(self, service: Service) -> int:
        """Forks and executes; raises FileNotFoundError where the command is not on PATH."""
        env = {**self._env, **service.env}
        program = shutil.which(service.command[0], path=env["PATH"])
        if program is None:
            raise FileNotFoundError(2, "not found on PATH", service.command[0])
        output = os.open(f"{LOG_DIR}/{service.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        pid = os.fork()
        if pid == 0:
            self._execute(service, program, env, output)
        os.close(output)
        return pid

    def _execute(self, service: Service, program: str, env: dict[str, str], output: int) -> None:
        """The child's side; never returns."""
        try:
            os.setsid()
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.execve(program, list(service.command), env)
        except OSError as error:
            os.write(2, f"cannot execute {program}: {error}\n".encode())
        finally:
            os._exit(127)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """The pid is a child of ours that has not been reaped, so it cannot be another process."""
        os.kill(pid, number)

    def reap(self) -> list[tuple[int, int]]:
        """All that have ended, orphans of the node included."""
        ended: list[tuple[int, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            ended.append((pid, os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    sys.exit(main())
