"""Real etcd servers for tests: one or three, with TLS and client certificates, killed and started again.

They listen on loopback, or on an address of another network namespace.

Their data lie in a temporary folder. They skip fsync (--unsafe-no-fsync): a killed process loses nothing of what it has
written, only a machine without power would.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import pytest

from pybernetes.wire.pki.certificates import Authority, Leaf, issue, new_authority
from tests.etcd_links import HOST, Links

BINARY = shutil.which("etcd")
needs_etcd = pytest.mark.skipif(BINARY is None, reason="etcd is not installed (Debian's etcd-server; make setup does)")
_START_SECONDS = 30.0
_LISTENING = "0A"
"""A socket's state in /proc/net/tcp, as in the kernel's tcp_states.h."""


@dataclass(frozen=True)
class Place:
    """Where servers listen: an address, and the network namespace (a path) that has it; empty is this one."""

    host: str = "127.0.0.1"
    netns: str = ""

    def inside(self) -> list[str]:
        """What a command has before it to run there; it stays one process."""
        return ["nsenter", f"--net={self.netns}"] if self.netns else []


_LOOPBACK = Place()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Member:
    """One etcd server: start(), kill() with -9, start() again on the same data."""

    def __init__(self, folder: Path, name: str, place: Place, client: int, peer: int) -> None:
        self.folder, self.name, self.place, self.port, self.peer_port = folder, name, place, client, peer
        self.url = f"https://{place.host}:{client}"
        self.peer = f"https://{place.host}:{peer}"
        self.proxy = ""
        """Through which it dials its peers."""
        self.flags: Sequence[str] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        """Begins; await its readiness with ready()."""
        assert BINARY is not None
        assert self._process is None, "it runs"
        peer = f"https://{self.place.host}:{self.peer_port}"
        flags = ["--name", self.name, "--data-dir", self.name, "--unsafe-no-fsync", "--logger=zap", "--log-level=warn"]
        flags += [f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}"]
        flags += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={self.peer}"]
        for kind in ("", "peer-"):
            flags += [f"--{kind}cert-file=server.crt", f"--{kind}key-file=server.key"]
            flags += [f"--{kind}trusted-ca-file=ca.crt", f"--{kind}client-cert-auth"]
        # It must not outlive a test run that is killed itself; a thread that ends counts as one, so start none in a thread.
        command = ["setpriv", "--pdeathsig=KILL", *self.place.inside(), BINARY, *flags, *self.flags, *more]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "HTTPS_PROXY": self.proxy, "NO_PROXY": ""},
            )  # fmt: skip

    def kill(self) -> None:
        """kill -9; nothing if it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def pause(self, *, on: bool) -> None:
        """SIGSTOP, until every thread has stopped: it holds its connections and says nothing. Else SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)
        tasks = Path(f"/proc/{self._process.pid}/task")
        while on and any((task / "stat").read_text().rpartition(")")[2].split()[0] != "T" for task in tasks.iterdir()):
            time.sleep(0.001)

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def listening(self) -> bool:
        """Whether somebody in its network namespace listens on its port."""
        assert self._process is not None
        try:
            lines = Path(f"/proc/{self._process.pid}/net/tcp").read_text().splitlines()[1:]
        except OSError:  # it ended
            return False
        sockets = (line.split() for line in lines)
        return any(s[1].endswith(f":{self.port:04X}") and s[3] == _LISTENING for s in sockets)


class Servers:
    """An etcd cluster with its certificates. `stop()` in the end. With `links` members can be cut off from each other."""

    def __init__(self, folder: Path, count: int, place: Place = _LOOPBACK, *, links: bool = False) -> None:
        self.folder, self.place = folder, place
        self.links: Links | None = None
        self.authority = new_authority("etcd-ca", time.time())
        (folder / "ca.crt").write_bytes(self.authority.pem)
        hosts = (place.host, "localhost", HOST)
        self.certify("server", Leaf("etcd", hosts=hosts, usages=("server auth", "client auth")))
        self.certify("client", Leaf("kube-apiserver-etcd-client", usages=("client auth",)))
        ports = free_ports(2 * count)
        self.members = [Member(folder, f"m{n}", place, ports[2 * n], ports[2 * n + 1]) for n in range(count)]
        if links:
            self.links = Links(member.peer_port for member in self.members)
            for member in self.members:
                member.peer = f"https://{HOST}:{member.peer_port}"
                member.proxy = self.links.proxy(member.peer_port)
        cluster = ",".join(f"{member.name}={member.peer}" for member in self.members)
        for member in self.members:
            member.flags = (f"--initial-cluster={cluster}", "--initial-cluster-state=new")

    def certify(self, name: str, leaf: Leaf, authority: Authority | None = None) -> None:
        """Writes a certificate and its key beside the data."""
        certificate, key = issue(authority or self.authority, leaf, time.time())
        (self.folder / f"{name}.crt").write_bytes(certificate)
        (self.folder / f"{name}.key").write_bytes(key)

    def start(self, *more: str) -> None:
        """All of them, until they have a leader."""
        for member in self.members:
            member.start(*more)
        self.ready()

    def ready(self) -> None:
        """Waits until a majority answers."""
        end = time.monotonic() + _START_SECONDS
        while not self._listening() or self.ctl("get", "x", check=False) is None:
            if time.monotonic() > end or not any(member.running for member in self.members):
                logs = [path.read_text()[-2000:] for path in self.folder.glob("*.log")]
                raise AssertionError("etcd does not answer:\n" + "\n".join(logs))

    def _listening(self) -> bool:
        """Of each that runs; etcdctl would wait long before it tries again."""
        if all(member.listening for member in self.members if member.running):
            return True
        time.sleep(0.02)
        return False

    def location(self, *, members: Sequence[Member] | None = None, client: str = "client", **more: str) -> str:
        """Where they are, for the store `etcd`."""
        servers = ",".join(member.url for member in members or self.members)
        return f"{servers}?{urlencode({**self.files(client), **more})}"

    def files(self, client: str = "client") -> dict[str, str]:
        """Certificate files by their names in a location."""
        return {
            "cafile": str(self.folder / "ca.crt"),
            "certfile": str(self.folder / f"{client}.crt"),
            "keyfile": str(self.folder / f"{client}.key"),
        }

    def ctl(self, *words: str, members: Sequence[Member] | None = None, check: bool = True) -> str | None:
        """What etcdctl prints; None where it fails and `check` is off."""
        files = self.files()
        servers = ",".join(member.url for member in members or self.members)
        command = [
            *self.place.inside(),
            "etcdctl",
            f"--endpoints={servers}",
            f"--cacert={files['cafile']}",
            f"--cert={files['certfile']}",
        ]
        command += [f"--key={files['keyfile']}", "--dial-timeout=1s", "--command-timeout=5s", *words]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "ETCDCTL_API": "3"})
        if done.returncode:
            assert not check, done.stderr
            return None
        return done.stdout

    def leader(self) -> Member:
        """Who leads now."""
        for member in self.members:
            if member.running:
                said = self.ctl("endpoint", "status", members=[member], check=False)
                if said is not None and said.split(", ")[4] == "true":
                    return member
        raise AssertionError("there is no leader")

    def stop(self) -> None:
        """Kills what runs."""
        for member in self.members:
            member.kill()
        if self.links is not None:
            self.links.close()


@contextmanager
def etcd(count: int = 1, *flags: str, place: Place = _LOOPBACK, links: bool = False) -> Iterator[Servers]:
    """Servers that run, and are gone afterwards with all they wrote."""
    with TemporaryDirectory(prefix="etcd-test-") as folder:
        servers = Servers(Path(folder), count, place, links=links)
        try:
            servers.start(*flags)
            yield servers
        finally:
            servers.stop()
