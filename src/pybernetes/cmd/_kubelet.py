"""kubelet: the composition root: flags and configuration file -> Settings -> Kubelet. Flag names are upstream's.

Order: configuration, the runtime's socket (waited for, loudly), TLS bootstrap, then the node runs until it is stopped.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.api import names
from pybernetes.assembly.podrules import ManifestRules
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.cmd import _daemon
from pybernetes.cmd._daemon import StartError
from pybernetes.cmd._kubelet_flags import overrides, parser, without_effect
from pybernetes.kubelet import bootstrap, configuration_effects, configuration_file, host
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.configuration_file import ConfigurationError
from pybernetes.kubelet.cri.events import EventSource
from pybernetes.kubelet.cri.model import RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.cri.runtime import CriRuntime, socket_exists
from pybernetes.kubelet.images.plugins import ProviderError, Providers, read_providers
from pybernetes.kubelet.kubelet import Kubelet, Registration
from pybernetes.kubelet.lock_file import locked, until_contended
from pybernetes.kubelet.node_addresses import node_addresses
from pybernetes.kubelet.server.access import Access, AccessError
from pybernetes.kubelet.server.app import KubeletApi, health_of
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.status.labels import LABEL_SPACES, LABELS, may_label
from pybernetes.wire.healthz import plain
from pybernetes.wire.http import Request, Response
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, ServerTls, restrict

log = logging.getLogger(__name__)

_DEBUGGING = 4
_SOCKET_RETRY = 0.5
_CERTIFICATE_LOOK = 30.0
_SOCKET_PATIENCE = 60.0
"""So long a runtime that starts with the machine is waited for; then the kubelet ends and its supervisor tries again."""


def configuration_of(options: argparse.Namespace) -> Configuration:
    """Files and flags together, checked: what is wrong, or cannot be done here, is told at once. Raises StartError."""
    file = Path(options.config) if options.config else None
    folder = Path(options.config_dir) if options.config_dir else None
    try:
        found = configuration_file.configuration_of(configuration_file.read_all(file, folder), overrides(options))
    except ConfigurationError as error:
        raise StartError(str(error)) from None
    refused = configuration_effects.refusals(found)
    if refused:
        raise StartError("\n".join(refused))
    return found


def node_ips(text: str) -> tuple[str, ...]:
    """Addresses of the node: given, or the one that the machine would leave by. Raises StartError."""
    try:
        return node_addresses(text)
    except ValueError as error:
        raise StartError(f'bad --node-ip "{text}": {error}') from None


def labels_of(text: str) -> dict[str, str]:
    """`key=value,...`; of the names that belong to Kubernetes only those that a node may give itself.

    Raises StartError.
    """
    found = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        faults = [*names.qualified_name(key.strip()), *names.label_value(value.strip())]
        if not equals or faults:
            raise StartError(f"--node-labels: {part!r} is not key=value{': ' + faults[0] if faults else ''}")
        found[key.strip()] = value.strip()
    foreign = sorted(key for key in found if not may_label(key))
    if foreign:
        raise StartError(
            f"unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [{' '.join(foreign)}]\n"
            "--node-labels in the 'kubernetes.io' namespace must begin with an allowed prefix"
            f" ({', '.join(LABEL_SPACES)}) or be in the specifically allowed set ({', '.join(LABELS)})"
        )
    return found


def providers_of(options: argparse.Namespace) -> Providers | None:
    """Credential provider plugins; None where no flag names some. Raises StartError."""
    config, folder = options.image_credential_provider_config, options.image_credential_provider_bin_dir
    if not config and not folder:
        return None
    if not config or not folder:
        raise StartError("--image-credential-provider-config and --image-credential-provider-bin-dir go together")
    try:
        return read_providers(Path(config), Path(folder))
    except ProviderError as error:
        raise StartError(f"failed to register CRI auth plugins: {error}") from None


def settings_of(options: argparse.Namespace, config: Configuration) -> Settings:
    """The node's Settings. Raises StartError."""
    return Settings(
        node_name=(options.hostname_override or socket.gethostname()).strip().lower(),
        node_ips=node_ips(options.node_ip),
        config=config,
        root=Path(options.root_dir),
        standalone=not (options.kubeconfig or options.bootstrap_kubeconfig),
        credential_providers=providers_of(options),
        external_cloud=options.cloud_provider == "external",
    )


async def wait_for_runtime(endpoint: str, clock: Clock) -> CriRuntime:
    """The runtime, once its socket answers. Raises StartError when it does not for a minute."""
    try:
        runtime = CriRuntime(endpoint, clock)
    except ValueError as error:
        raise StartError(str(error)) from None
    began = clock.monotonic()
    while True:
        try:
            version = await runtime.version()
            log.info("container runtime is %s %s endpoint=%s", version.name, version.version, endpoint)
            return runtime
        except (RuntimeUnavailable, RuntimeRefused) as error:
            there = await asyncio.to_thread(socket_exists, endpoint)
            why = str(error) if there else "there is no such socket"
        if clock.monotonic() - began > _SOCKET_PATIENCE:
            await runtime.close()
            raise StartError(f"no container runtime at {endpoint} ({why}): start containerd, or give its socket with"
                             " --container-runtime-endpoint")  # fmt: skip
        log.error("container runtime does not answer endpoint=%s why=%s; trying again", endpoint, why)
        await clock.sleep(_SOCKET_RETRY)


async def run(options: argparse.Namespace) -> None:
    """Runs a node until cancelled, or until another kubelet wants --lock-file. Raises StartError."""
    if os.geteuid() != 0:
        raise StartError("the kubelet makes cgroups and mounts: run it as root")
    clock = SystemClock()
    if not options.lock_file:
        if options.exit_on_lock_contention:
            raise StartError("cannot exit on lock file contention: no lock file specified")
        return await _run(options, clock)
    file = Path(options.lock_file)
    try:
        async with locked(file, clock):
            work = asyncio.ensure_future(_run(options, clock))
            await (until_contended(file, work) if options.exit_on_lock_contention else work)
    except OSError as error:
        if error.filename != str(file):
            raise
        raise StartError(f'unable to acquire file lock on "{file}": {error.strerror}') from None


async def _run(options: argparse.Namespace, clock: Clock) -> None:
    config = configuration_of(options)
    if config.logging.verbosity >= _DEBUGGING:
        logging.getLogger().setLevel(logging.DEBUG)
    for warning in (
        *configuration_effects.warnings(config),
        *(f"--{f} has no effect" for f in without_effect(options)),
    ):
        log.warning("%s", warning)
    wrong = await asyncio.to_thread(host.problems_of, config)
    if wrong:
        raise StartError("\n".join(wrong))
    await asyncio.to_thread(host.apply, config)
    settings = settings_of(options, config)
    registration = Registration(
        config.register_with_taints,
        labels_of(options.node_labels),
    )
    folder = Path(options.cert_dir) if options.cert_dir else settings.root / "pki"
    runtime = await wait_for_runtime(config.container_runtime_endpoint, clock)
    try:
        connection = None if settings.standalone else await _connect(options, settings, folder, clock)
        client = Client(connection or _nowhere, clock=clock, user_agent="kubelet")
        events = EventSource(config.container_runtime_endpoint)
        kubelet = Kubelet(settings, runtime, client, events=events, registration=registration)
        kubelet.read_manifests(ManifestRules())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGPWR, kubelet.shutdown.begin)
        loop.add_signal_handler(signal.SIGUSR1, kubelet.shutdown.cancel)
        async with asyncio.TaskGroup() as group:
            group.create_task(kubelet.run(), name="kubelet")
            group.create_task(_serve_health(kubelet, config, clock), name="healthz")
            group.create_task(_serve(kubelet, client, config, folder), name="server")
            if connection is not None and config.rotate_certificates:
                wanted = bootstrap.Wanted(bootstrap.CLIENT_SIGNER, settings.node_name)
                rotation = bootstrap.ClientRotation(Path(options.kubeconfig), connection, client, wanted, folder)
                group.create_task(_rotate(rotation), name="client-certificate")
    finally:
        await runtime.close()


async def _connect(
    options: argparse.Namespace, settings: Settings, folder: Path, clock: Clock
) -> bootstrap.NodeConnection:
    path = Path(options.kubeconfig)
    wanted = bootstrap.Wanted(bootstrap.CLIENT_SIGNER, settings.node_name)
    from_file = Path(options.bootstrap_kubeconfig) if options.bootstrap_kubeconfig else None
    try:
        await bootstrap.ensure_kubeconfig(path, from_file, wanted, folder, clock)
        return bootstrap.NodeConnection(path)
    except (bootstrap.BootstrapError, kubeconfig.ConfigError, OSError) as error:
        raise StartError(str(error)) from None


async def _rotate(rotation: bootstrap.ClientRotation) -> None:
    try:
        await rotation.run()
    except bootstrap.BootstrapError as error:
        raise StartError(str(error)) from None


async def _nowhere(request: Request) -> Response:
    """The transport of a kubelet without --kubeconfig."""
    raise ConnectionError("this kubelet runs standalone, without an API server")


async def _serve(kubelet: Kubelet, client: Client, config: Configuration, folder: Path) -> None:
    """The API on 10250, once there is a certificate for it."""
    if not config.enable_server:
        return
    settings, clock = kubelet.settings, client.clock
    wanted = bootstrap.Wanted(bootstrap.SERVING_SIGNER, settings.node_name, (settings.node_name, *settings.node_ips))
    by_request = config.server_tls_bootstrap and not settings.standalone
    serving = bootstrap.ServingCertificate(client if by_request else None, wanted, folder, clock)
    try:
        handler = KubeletApi(kubelet, Access(config, client, settings.node_name, clock), clock)
    except AccessError as error:
        raise StartError(str(error)) from None
    async with asyncio.TaskGroup() as group:
        tls: list[ServerTls] = []
        identity = Identity(serving.file, serving.file)
        if config.tls_cert_file:
            identity = Identity(Path(config.tls_cert_file), Path(config.tls_private_key_file))
            group.create_task(_follow(tls, clock), name="serving-certificate")
        else:
            group.create_task(serving.run(lambda: [t.reload() for t in tls]), name="serving-certificate")
            await serving.ready.wait()
        tls.append(_server_tls(identity, config))
        await _listen(HttpServer(handler, ssl=tls[0].context, clock=clock), config.address, config.port)


async def _follow(tls: Sequence[ServerTls], clock: Clock) -> None:
    """Takes over certificate files that somebody else renews."""
    while True:
        await clock.sleep(_CERTIFICATE_LOOK)
        for one in tls:
            try:
                if await asyncio.to_thread(one.reload):
                    log.info("the serving certificate was renewed")
            except OSError as error:  # ssl.SSLError is one
                log.warning("cannot read the serving certificate again error=%s", error)


def _server_tls(identity: Identity, config: Configuration) -> ServerTls:
    """Raises StartError."""
    ca = config.authentication.x509.client_ca_file
    try:
        made = ServerTls(identity, client_ca=Path(ca) if ca else None)
        restrict(made.context, config.tls_min_version, config.tls_cipher_suites)
    except (OSError, ValueError) as error:
        raise StartError(f"cannot serve with {identity.certificate}, {ca or 'no client CA'}: {error}") from None
    return made


async def _serve_health(kubelet: Kubelet, config: Configuration, clock: Clock) -> None:
    """/healthz on the loopback, for the machine's supervisor and kubeadm."""

    async def answer(request: Request) -> Response:
        known = request.path.split("/")[1] == "healthz"
        return health_of(kubelet, clock, request) if known else plain("404 page not found\n", 404)

    if config.healthz_port:
        await _listen(HttpServer(answer), config.healthz_bind_address, config.healthz_port)


async def _listen(server: HttpServer, address: str, port: int) -> None:
    try:
        await server.start(address, port)
    except OSError as error:
        raise StartError(f"cannot listen on {address}:{port}: {error.strerror or error}") from None
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    options = parser().parse_args(arguments)
    sys.exit(_daemon.run("kubelet", options.v, lambda: run(options)))
