"""kube-apiserver: the composition root: flags -> Config -> store, ApiServer, HTTPS. Flag names are upstream's."""

import argparse
import asyncio
import ipaddress
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import urlencode

from pybernetes.aio.clock import SystemClock
from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Object, User
from pybernetes.apiserver.admission._configuration import read_configuration
from pybernetes.apiserver.admission.defaulttolerationseconds import SECONDS
from pybernetes.apiserver.admit import AdmissionPluginError
from pybernetes.apiserver.authn.tokens import read_token_file
from pybernetes.apiserver.config import HISTORY_LIMIT, ISSUER, Config, FrontProxy, InFlight, Times
from pybernetes.apiserver.server import ApiServer, UnknownModeError
from pybernetes.cmd._daemon import StartError, run, settle
from pybernetes.cmd._flags import boolean, count, duration, lasting
from pybernetes.cmd._snapshots import Schedule, keep_snapshots
from pybernetes.cmd._version import add_version
from pybernetes.store import factory
from pybernetes.store.protocol import Store, Unavailable
from pybernetes.store.snapshots import folder_of
from pybernetes.wire.pki.keys import PkiError, PublicKey, parse_key, parse_public_key
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, ServerTls, client_context

log = logging.getLogger(__name__)

_HAND_OVER_SECONDS = 5.0
_STOP_SECONDS = 5.0
_RELOAD_SECONDS = 30.0
# What kubeadm and the CIS benchmark pass besides; accepted, so that such manifests start, and without effect here.
_ACCEPTED = (
    "proxy-client-cert-file",
    "proxy-client-key-file",
    "kubelet-preferred-address-types",
    "feature-gates",
    "runtime-config",
    "cert-dir",
    "tls-min-version",
    "tls-cipher-suites",
    "audit-log-path",
    "audit-policy-file",
    "encryption-provider-config",
    "profiling",
    "service-account-lookup",
)


def parser() -> argparse.ArgumentParser:
    """The flags."""
    flags = argparse.ArgumentParser(
        prog="kube-apiserver", description="The API server: the only door to the cluster's state.", allow_abbrev=False
    )
    add = flags.add_argument
    add_version(flags)

    def switch(name: str, *, default: bool, help: str) -> None:
        add(name, type=boolean, nargs="?", const=True, default=default, help=help)

    add("--advertise-address", default="", help="address that other parts reach this server at")
    add("--bind-address", default="0.0.0.0", help="address to listen on")
    add(
        "--secure-port",
        type=int,
        default=6443,
        help="port to listen on with HTTPS; 0: only on inherited sockets, or on any free port",
    )
    add(
        "--inherit-sockets-from",
        type=Path,
        metavar="PATH",
        help="unix socket whose server hands over listening sockets (SCM_RIGHTS) to serve beside --secure-port",
    )
    add("--tls-cert-file", type=Path, help="serving certificate, PEM")
    add("--tls-private-key-file", type=Path, help="its key, PEM")
    add("--client-ca-file", type=Path, help="bundle that client certificates are checked with")
    add(
        "--service-account-key-file",
        type=Path,
        action="append",
        default=[],
        help="keys that know ServiceAccount tokens",
    )
    add("--service-account-signing-key-file", type=Path, help="key that signs ServiceAccount tokens")
    add("--service-account-issuer", action="append", default=[], help="issuer of ServiceAccount tokens")
    add("--api-audiences", default="", help="audiences of tokens for this server; the issuer where none is given")
    add("--service-cluster-ip-range", default="10.96.0.0/12", help="addresses of Services, CIDR[,CIDR]")
    add("--service-node-port-range", default="30000-32767", help="ports of NodePort Services")
    add("--authorization-mode", default="Node,RBAC", help="authorizers in order: Node, RBAC, AlwaysAllow, AlwaysDeny")
    add("--enable-admission-plugins", default="", help="admission plugins to add")
    add("--disable-admission-plugins", default="", help="admission plugins to leave out")
    add("--admission-control-config-file", type=Path, help="configuration of admission plugins, YAML")
    for taint in ("not-ready", "unreachable"):
        add(
            f"--default-{taint}-toleration-seconds",
            type=int,
            default=SECONDS,
            help=f"how long Pods stay on nodes that are {taint}",
        )
    switch("--enable-bootstrap-token-auth", default=False, help="know bootstrap tokens in kube-system")
    add("--token-auth-file", type=Path, help="tokens: token,user,uid,groups")
    add("--kubelet-client-certificate", type=Path, help="certificate shown to kubelets")
    add("--kubelet-client-key", type=Path, help="its key")
    add("--kubelet-certificate-authority", type=Path, help="bundle that kubelets' certificates are checked with")
    _storage_flags(add)
    times = Times()
    for name, seconds, text in (
        ("request-timeout", times.request, "how long a request that is no stream may take"),
        ("event-ttl", times.event, "how long an Event is kept after it was last written"),
    ):
        add(f"--{name}", type=lasting, default=seconds, metavar="DURATION", help=text)
    add(
        "--shutdown-delay-duration",
        type=duration,
        default=0.0,
        metavar="DURATION",
        help="how long /readyz fails before a server that was told to stop does so",
    )
    limits = InFlight()
    switch(
        "--enable-priority-and-fairness",
        default=limits.fair,
        help="queue and dispatch requests with priority and fairness, instead of two limits on requests in flight",
    )
    for name, other, most in (
        ("max-requests-inflight", "max-mutating-requests-inflight", limits.reading),
        ("max-mutating-requests-inflight", "max-requests-inflight", limits.mutating),
    ):
        add(
            f"--{name}",
            type=count,
            default=most,
            metavar="N",
            help=f"requests answered at once ({most}): with priority and fairness, its sum with --{other} is divided among "
            f"priority levels; else the limit for {'mutating' if 'mutating' in name else 'reading'} ones, 0 for none",
        )
    add("--min-request-timeout", type=int, default=int(times.watch), help="seconds that a watch lasts at least")
    switch("--anonymous-auth", default=True, help="let requests without credentials be system:anonymous")
    switch("--allow-privileged", default=True, help=argparse.SUPPRESS)
    add("-v", "--v", type=int, default=0, help="log verbosity: 0 warnings and facts, 4 everything")
    add("--requestheader-client-ca-file", type=Path, help="CA of front proxies, told to extension servers")
    for name in ("allowed-names", "username-headers", "group-headers", "extra-headers-prefix"):
        add(f"--requestheader-{name}", default="", help="of front proxies, told to extension servers")
    for name in _ACCEPTED:
        add(f"--{name}", default="", help=argparse.SUPPRESS)
    return flags


def _storage_flags(add: Callable[..., object]) -> None:
    add("--storage-backend", default="sqlite", help="sqlite, memory, or etcd3 (pip install pybernetes[etcd])")
    add("--storage-path", default="/var/lib/pybernetes/store.db", help="file of the sqlite store")
    add(
        "--storage-snapshot-interval",
        type=duration,
        default=43_200.0,
        metavar="DURATION",
        help="how often (12h) a snapshot of the sqlite store is taken; 0: never (see pybernetes store snapshot)",
    )
    add("--storage-snapshot-keep", type=count, default=4, metavar="N", help="how many of the newest snapshots stay (4)")
    add("--storage-snapshot-dir", type=Path, help="where they lie (default: snapshots, beside the store)")
    add("--etcd-servers", default="", help="servers of one etcd cluster: https://HOST:2379,...")
    add("--etcd-prefix", default="/registry", help="what all keys in etcd begin with")
    add("--etcd-cafile", default="", metavar="PATH", help="CA that the certificates of etcd's servers are checked with")
    add("--etcd-certfile", default="", metavar="PATH", help="client certificate shown to etcd")
    add("--etcd-keyfile", default="", metavar="PATH", help="its key")
    add(
        "--etcd-compaction-interval",
        type=duration,
        default=Times().compaction,
        metavar="DURATION",
        help="the store's history is kept for between one and two of these; 0: for ever",
    )
    add(
        "--storage-history-limit",
        type=count,
        default=HISTORY_LIMIT,
        metavar="REVISIONS",
        help="the store's history is kept for so many revisions at most; 0: only its age counts",
    )


def config_of(options: argparse.Namespace) -> Config:
    """The Config that flags mean. Raises StartError."""
    try:
        signing_file = options.service_account_signing_key_file
        signing_key = parse_key(signing_file.read_bytes()) if signing_file else None
        keys: list[PublicKey] = [parse_public_key(path.read_bytes()) for path in options.service_account_key_file]
        tokens: dict[str, User] = read_token_file(options.token_auth_file) if options.token_auth_file else {}
        networks = tuple(ipaddress.ip_network(text) for text in _listed(options.service_cluster_ip_range))
        low, _, high = options.service_node_port_range.partition("-")
        kubelet_tls = _kubelet_tls(options)
        return Config(
            advertise_address=options.advertise_address or _own_address(options.bind_address),
            secure_port=options.secure_port,
            service_networks=networks,
            node_ports=range(int(low), int(high) + 1),
            issuer=(options.service_account_issuer or [ISSUER])[0],
            audiences=_listed(options.api_audiences),
            signing_key=signing_key,
            verifying_keys=keys,
            static_tokens=tokens,
            bootstrap_tokens=options.enable_bootstrap_token_auth,
            client_ca=options.client_ca_file.read_text() if options.client_ca_file else "",
            front_proxy=_front_proxy(options),
            anonymous=options.anonymous_auth,
            authorization_modes=_listed(options.authorization_mode),
            enable_admission=_listed(options.enable_admission_plugins),
            disable_admission=_listed(options.disable_admission_plugins),
            admission_configuration=_admission(options),
            identity=socket.gethostname(),
            legacy_token_tracking=True,
            times=Times(
                request=options.request_timeout,
                watch=options.min_request_timeout,
                event=options.event_ttl,
                compaction=options.etcd_compaction_interval,
            ),
            in_flight=_in_flight(options),
            history_limit=options.storage_history_limit,
            kubelet_tls=kubelet_tls,
        )
    except (OSError, PkiError, ssl.SSLError, ValueError) as error:
        raise StartError(f"cannot use a flag's value: {error}") from error


def _in_flight(options: argparse.Namespace) -> InFlight:
    reading, mutating = options.max_requests_inflight, options.max_mutating_requests_inflight
    if options.enable_priority_and_fairness and not reading + mutating:
        raise ValueError(
            f"MaxRequestsInFlight={reading} and MaxMutatingRequestsInFlight={mutating}; "
            "they must add up to something positive"
        )
    return InFlight(reading, mutating, options.enable_priority_and_fairness)


def _front_proxy(options: argparse.Namespace) -> FrontProxy | None:
    if not options.requestheader_client_ca_file:
        return None
    return FrontProxy(
        client_ca=options.requestheader_client_ca_file.read_text(),
        allowed_names=_listed(options.requestheader_allowed_names),
        username_headers=_listed(options.requestheader_username_headers),
        group_headers=_listed(options.requestheader_group_headers),
        extra_headers_prefix=_listed(options.requestheader_extra_headers_prefix),
    )


def _admission(options: argparse.Namespace) -> dict[str, Object]:
    """What plugins are told, by name. Raises OSError, ValueError."""
    path = options.admission_control_config_file
    seconds = {
        "notReadySeconds": options.default_not_ready_toleration_seconds,
        "unreachableSeconds": options.default_unreachable_toleration_seconds,
    }
    return {**(read_configuration(path) if path else {}), "DefaultTolerationSeconds": seconds}


def _kubelet_tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    certificate, key = options.kubelet_client_certificate, options.kubelet_client_key
    if certificate is None or key is None:
        return None
    return client_context(ca=options.kubelet_certificate_authority, identity=Identity(certificate, key))


def _own_address(bind: str) -> str:
    if not ipaddress.ip_address(bind).is_unspecified:
        return bind
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which address would be used
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def handed_over(path: Path) -> list[socket.socket]:
    """Listening sockets that whoever serves the unix socket `path` holds for us (SCM_RIGHTS, unix(7)). Raises StartError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(_HAND_OVER_SECONDS)
        try:
            asked.connect(str(path))
            _, descriptors, _, _ = socket.recv_fds(asked, 1, 8)
        except OSError as error:
            raise StartError(f"--inherit-sockets-from={path}: {error.strerror or error}") from error
    if not descriptors:
        raise StartError(f"--inherit-sockets-from={path}: no socket was handed over")
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def _listening(options: argparse.Namespace) -> list[socket.socket]:
    """Inherited sockets are doors beside our own: a local cluster's master is reached on the machine's loopback, too."""
    inherited = handed_over(options.inherit_sockets_from) if options.inherit_sockets_from else []
    if inherited and options.secure_port == 0:
        return inherited
    family = socket.AF_INET6 if ":" in options.bind_address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((options.bind_address, options.secure_port))
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise StartError(
            f"cannot listen on {options.bind_address}:{options.secure_port}: {error.strerror or error}; "
            "stop what listens there, or choose another --secure-port"
        ) from error
    return [sock, *inherited]


def _tls(options: argparse.Namespace) -> ServerTls:
    if options.tls_cert_file is None or options.tls_private_key_file is None:
        raise StartError("--tls-cert-file and --tls-private-key-file are needed; `kubeadm init` makes both")
    try:
        identity = Identity(options.tls_cert_file, options.tls_private_key_file)
        return ServerTls(identity, client_ca=options.client_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"cannot use the serving certificate {options.tls_cert_file} with {options.tls_private_key_file}: {error}"
        ) from error


async def _open_store(options: argparse.Namespace) -> Store:
    name = "etcd" if options.storage_backend == "etcd3" else options.storage_backend
    location = _etcd(options) if name == "etcd" else options.storage_path
    try:
        return await factory(name).open(location)
    except ModuleNotFoundError as error:
        raise StartError(
            f"cannot use the store {name}: {error}; install it with `pip install 'pybernetes[{name}]'`"
        ) from error
    except (Unavailable, OSError, ImportError) as error:
        place = options.etcd_servers if name == "etcd" else location
        raise StartError(f"cannot open the store {place}: {error}") from error


def _etcd(options: argparse.Namespace) -> str:
    """The location that the store `etcd` is opened at."""
    given = {
        "prefix": options.etcd_prefix,
        "cafile": options.etcd_cafile,
        "certfile": options.etcd_certfile,
        "keyfile": options.etcd_keyfile,
    }
    return f"{options.etcd_servers}?{urlencode({name: value for name, value in given.items() if value})}"


def _schedule(options: argparse.Namespace) -> Schedule:
    store = Path(options.storage_path)
    folder = options.storage_snapshot_dir or folder_of(store)
    return Schedule(store, folder, options.storage_snapshot_interval, max(1, options.storage_snapshot_keep))


async def serve(options: argparse.Namespace) -> None:
    """Runs until cancelled. Raises StartError."""
    tls = _tls(options)
    async with AsyncExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in _listening(options)]
        if options.secure_port == 0:
            options.secure_port = sockets[0].getsockname()[1]
        config = config_of(options)
        store = await _open_store(options)
        stack.push_async_callback(store.close)
        clock = SystemClock()
        try:
            server = ApiServer(config, store, clock)
        except (AdmissionPluginError, UnknownModeError) as error:
            raise StartError(str(error)) from error
        http = HttpServer(server.handler, ssl=tls.context, clock=clock)
        await http.start(sockets=sockets)
        log.info("listening address=%s port=%d", options.bind_address, http.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run(), name="apiserver")
            group.create_task(_reload(tls, clock), name="apiserver.certificates")
            group.create_task(_settle(server), name="apiserver.loaded")
            if options.storage_backend == "sqlite" and options.storage_snapshot_interval:
                group.create_task(keep_snapshots(_schedule(options), clock), name="apiserver.snapshots")
            try:
                await asyncio.get_running_loop().create_future()  # until TERM, or until one of them fails
            finally:
                await _leave(server, http, options.shutdown_delay_duration)


async def _settle(server: ApiServer) -> None:
    """A large store takes longer to load than components are given to settle."""
    await server.ready.wait()
    settle()


async def _leave(server: ApiServer, http: HttpServer, delay: float) -> None:
    """/readyz fails first, then no connection is accepted, watches end, and what is being answered is answered."""
    if server.ready.is_set():
        server.leave()
        await server.depart()
        await server.clock.sleep(delay)
    server.end_watches()
    await http.stop(_STOP_SECONDS)


async def _reload(tls: ServerTls, clock: SystemClock) -> None:
    """Renewed serving certificates are taken up without a restart."""
    while True:
        await clock.sleep(_RELOAD_SECONDS)
        try:
            if tls.reload():
                log.info("serving certificate was renewed")
        except (OSError, ssl.SSLError) as error:
            log.warning("renewed serving certificate is not usable cause=%s", error)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    options = parser().parse_args(arguments)
    # A store that fails while the server starts is a line, not a stack.
    sys.exit(run("kube-apiserver", options.v, lambda: serve(options), ApiError, Unavailable))


if __name__ == "__main__":
    main()
