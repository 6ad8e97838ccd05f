"""What the scheduler's and the controllers' commands share: flags, a health port with TLS, leadership, an orderly end.

kube_scheduler.py shows how to use it. Of several processes one leads; losing the lead ends the process, whose
supervisor starts it again, so that two never work at the same time.
"""

import argparse
import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from pybernetes import __version__
from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.client.events import EventRecorder
from pybernetes.client.leaderelection import JITTER, Election, LeaderElector, LeaderLost
from pybernetes.client.rest import Client
from pybernetes.client.reviews import Lifetimes, Reviews
from pybernetes.cmd._daemon import StartError, run, transport_of
from pybernetes.cmd._flags import boolean, comma_list, duration
from pybernetes.cmd._serving import OPEN, Serving, leading_gauge
from pybernetes.cmd._version import add_version
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority
from pybernetes.wire.pki.files import write_private
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, restrict, server_context

log = logging.getLogger(__name__)

Work = Callable[[Client, Clock, Serving], Awaitable[None]]
"""What a component does while it leads; it adds to what is served."""


class Component(Struct, frozen=True, kw_only=True):
    """What differs between such commands."""

    name: str
    help: str
    port: int
    """Of health, HTTPS."""
    source: str = ""
    """What its events say that they come from; its name where nothing is said."""
    accepted: Sequence[str] = ()
    """Flags that kubeadm and distributions pass besides; accepted, so that such manifests start, without effect here."""


def parser(component: Component) -> argparse.ArgumentParser:
    """The common flags; the command adds its own."""
    made = argparse.ArgumentParser(prog=component.name, description=component.help, allow_abbrev=False)
    add = made.add_argument
    add_version(made)
    add("--kubeconfig", default="", help="how to reach the API server")
    add("-v", "--v", type=int, default=0, help="4 and more: debug messages")
    add = made.add_argument_group("leader election").add_argument
    add("--leader-elect", type=boolean, nargs="?", const=True, default=True, help="work only while holding the Lease")
    times = Election(name="", identity="")
    for name, seconds, text in (
        ("lease-duration", times.lease_duration, "so long others wait for a leader that says nothing"),
        (
            "renew-deadline",
            times.renew_deadline,
            "so long a leader tries to renew before it ends; less than the lease's duration",
        ),
        ("retry-period", times.retry_period, "between two tries, of leaders and of others"),
    ):
        add(f"--leader-elect-{name}", type=duration, default=seconds, metavar="DURATION", help=text)
    add("--leader-elect-resource-name", default=component.name, help="name of the Lease")
    add("--leader-elect-resource-namespace", default="kube-system", help="namespace of the Lease")
    add = made.add_argument_group("serving").add_argument
    add("--bind-address", default="0.0.0.0", help="address of health")
    add("--secure-port", type=int, default=component.port, help="port of health with HTTPS; 0 serves none")
    add("--tls-cert-file", type=Path, help="serving certificate, PEM; self-signed where none is given")
    add("--tls-private-key-file", type=Path, help="its key, PEM")
    add("--client-ca-file", type=Path, help="the authority of clients' certificates, PEM, for /metrics")
    add("--authorization-always-allow-paths", type=comma_list, default=list(OPEN), metavar="PATHS",
        help="what everybody may ask, with commas; others are asked for by SubjectAccessReview")  # fmt: skip
    add("--tls-min-version", default="", help="the oldest TLS: VersionTLS12 or VersionTLS13")
    add("--tls-cipher-suites", type=comma_list, default=[], help="suites of TLS 1.2 that are taken, with commas")
    add = made.add_argument_group(
        "accepted", "so that manifests that name them start; without effect here"
    ).add_argument
    for flag in component.accepted:
        add(f"--{flag}", nargs="?", const="true", default="", metavar="VALUE")
    return made


def command(component: Component, options: argparse.Namespace, work: Work) -> int:
    """Runs until TERM or INT; the exit code. `work` runs while this process leads."""
    return run(component.name, options.v, lambda: _run(component, options, work))


async def _run(component: Component, options: argparse.Namespace, work: Work) -> None:
    clock = SystemClock()
    election = _election(options, f"{socket.gethostname()}_{clock.random.getrandbits(64):016x}")
    transport = transport_of(options.kubeconfig)
    serving = Serving(clock, options.authorization_always_allow_paths)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.aclose)
        counted = serving.asked.around(transport, transport.host, clock)
        client = Client(counted, clock=clock, user_agent=f"{component.name}/{__version__}")
        serving.reviews = Reviews(client, Lifetimes())
        if options.secure_port:
            await stack.enter_async_context(_served(component, options, clock, serving))
        if not options.leader_elect:
            await work(client, clock, serving)
            return
        leading = leading_gauge(election.name)
        serving.families.append(leading)

        async def lead() -> None:
            leading.set(1, election.name)
            recorder = EventRecorder(client, component.source or component.name)
            recorder.event(elector.lease, "Normal", "LeaderElection", f"{election.identity} became leader")
            telling = asyncio.create_task(recorder.run(), name="leading.events")
            try:
                await work(client, clock, serving)
            finally:
                telling.cancel()

        elector = LeaderElector(client, election, lead)
        serving.checks["leaderElection"] = elector.fault
        lost: BaseException | None = None
        try:
            await elector.run()
        except* LeaderLost as group:
            lost = group.exceptions[0]
        if lost is not None:
            raise StartError(f"{lost}; another process may lead now")


def _election(options: argparse.Namespace, identity: str) -> Election:
    """Raises StartError for times with which two could lead, as client-go's elector refuses them."""
    made = Election(
        name=options.leader_elect_resource_name,
        namespace=options.leader_elect_resource_namespace,
        identity=identity,
        lease_duration=options.leader_elect_lease_duration,
        renew_deadline=options.leader_elect_renew_deadline,
        retry_period=options.leader_elect_retry_period,
    )
    if made.lease_duration <= made.renew_deadline:
        raise StartError("--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline")
    if made.renew_deadline <= JITTER * made.retry_period:
        raise StartError(f"--leader-elect-renew-deadline must be greater than {JITTER} of --leader-elect-retry-period")
    if made.lease_duration < 1 or made.retry_period <= 0:
        raise StartError("--leader-elect-lease-duration must be 1s or more, and --leader-elect-retry-period above 0")
    return made


@asynccontextmanager
async def _served(
    component: Component, options: argparse.Namespace, clock: Clock, serving: Serving
) -> AsyncIterator[None]:
    """The component's port."""
    server = HttpServer(serving, ssl=_tls(component, options, clock), clock=clock)
    try:
        await server.start(options.bind_address, options.secure_port)
    except OSError as error:
        raise StartError(
            f"cannot listen on {options.bind_address}:{options.secure_port}: {error.strerror or error}; "
            "stop what listens there, or choose another --secure-port"
        ) from None
    try:
        yield
    finally:
        await server.stop()


def _tls(component: Component, options: argparse.Namespace, clock: Clock) -> ssl.SSLContext:
    try:
        found = _context(component, options, clock)
        restrict(found, options.tls_min_version, options.tls_cipher_suites)
    except ValueError as error:
        raise StartError(str(error)) from None
    except OSError as error:
        raise StartError(f"cannot use the serving certificate: {error}") from None
    return found


def _context(component: Component, options: argparse.Namespace, clock: Clock) -> ssl.SSLContext:
    if options.tls_cert_file and options.tls_private_key_file:
        identity = Identity(options.tls_cert_file, options.tls_private_key_file)
        return server_context(identity, client_ca=options.client_ca_file)
    with TemporaryDirectory(prefix=f"{component.name}-") as folder:
        hosts = ("localhost", "127.0.0.1", socket.gethostname())
        authority = new_authority(f"{component.name}-ca", clock.now())
        certificate, key = issue(authority, Leaf(component.name, hosts=hosts, usages=("server auth",)), clock.now())
        identity = Identity(Path(folder) / "tls.crt", Path(folder) / "tls.key")
        write_private(identity.certificate, certificate)
        write_private(identity.key, key)
        return server_context(identity, client_ca=options.client_ca_file)
