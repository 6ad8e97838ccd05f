"""The kubelet's certificates: TLS bootstrap by CSR, a serving certificate, and rotation of both at 80 % of their life.

See "TLS bootstrapping". Files are upstream's: kubelet-client-current.pem and kubelet-server-current.pem in --cert-dir
link to the newest dated pair (certificate and key in one file), and kubelet.conf names the first.
"""

import asyncio
import base64
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.types import certificates_v1, meta_v1
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.kubelet import metrics
from pybernetes.rules.backoff import exponential
from pybernetes.wire.http import Request, Response
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority, new_request, parse_certificate
from pybernetes.wire.pki.files import write_private
from pybernetes.wire.pki.keys import PkiError, key_pem, new_key

log = logging.getLogger(__name__)

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
NODES_GROUP = "system:nodes"
ROTATE_AT = 0.8
_WAIT = 900.0
"""Seconds until a request that nobody signs is given up and made anew."""
_POLL_FIRST, _POLL_MOST = 0.1, 2.0
_SOON, _RETRY = 0.25, 5.0
"""Seconds before a certificate is asked for again, the first time and at most: a master's API server starts after its kubelet."""
_LOOK = 60.0
_LEAST = 1.0
_PATIENCE = 300.0
"""So long a kubelet whose certificate has ended goes on asking; then it ends, to begin with its bootstrap kubeconfig."""


class BootstrapError(Exception):
    """The kubelet cannot get credentials; the text says what to do."""


class Wanted(Struct, frozen=True):
    """A certificate to ask for."""

    signer: str
    node_name: str
    hosts: tuple[str, ...] = ()

    @property
    def usages(self) -> tuple[str, ...]:
        """As the signer demands for an EC key."""
        purpose = "client auth" if self.signer == CLIENT_SIGNER else "server auth"
        return ("digital signature", purpose)

    @property
    def file(self) -> str:
        return "kubelet-client" if self.signer == CLIENT_SIGNER else "kubelet-server"


async def obtain(client: Client, wanted: Wanted, folder: Path) -> Path:
    """A new key and its signed certificate, written to `folder`. Raises ApiError, OSError, BootstrapError."""
    key = new_key()
    request = new_request(f"system:node:{wanted.node_name}", (NODES_GROUP,), wanted.hosts, key)
    requests = client.of(certificates_v1.CertificateSigningRequest)
    made = await requests.create(
        certificates_v1.CertificateSigningRequest(
            metadata=meta_v1.ObjectMeta(generateName="csr-"),
            spec=certificates_v1.CertificateSigningRequestSpec(
                request=base64.b64encode(request).decode(), signerName=wanted.signer, usages=wanted.usages
            ),
        )
    )
    name = made.metadata.name
    log.info("waiting for certificate request=%s signer=%s", name, wanted.signer)
    delay, began = _POLL_FIRST, client.clock.monotonic()
    while not made.status.certificate:
        refused = next((c for c in made.status.conditions if c.type in ("Denied", "Failed")), None)
        if refused is not None:
            raise BootstrapError(f"certificate request {name} was {refused.type.lower()}: {refused.message}")
        if client.clock.monotonic() - began > _WAIT:
            raise BootstrapError(f"nobody has signed certificate request {name}; approve it: kubectl certificate")
        await client.clock.sleep(delay)
        delay = min(_POLL_MOST, 1.5 * delay)
        made = await requests.get(name)
    certificate = base64.b64decode(made.status.certificate)
    return store(folder, wanted.file, certificate + key_pem(key), client.clock.now())


def store(folder: Path, name: str, pair: bytes, now: float) -> Path:
    """Writes a dated pair and moves the `-current` link to it in one step."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d-%H-%M-%S")
    dated = folder / f"{name}-{stamp}.pem"
    write_private(dated, pair)
    current = folder / f"{name}-current.pem"
    link = folder / f".{name}-current.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(dated.name)
    link.replace(current)
    return current


class Life(Struct, frozen=True):
    """When a certificate should be replaced, and when it ends; seconds since 1970."""

    due: float
    end: float


def life_of(pem: bytes) -> Life:
    """Raises PkiError."""
    certificate = parse_certificate(pem)
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return Life(begin + ROTATE_AT * (end - begin), end)


def _pause(due: float, now: float) -> float:
    """Until it is due; not longer than a look, for files may be replaced by others."""
    return max(_LEAST, min(_LOOK, due - now))


def usable(file: Path, now: float) -> bool:
    """Whether the pair is there and its certificate has not ended."""
    try:
        certificate = parse_certificate(file.read_bytes())
    except (OSError, PkiError):
        return False
    return certificate.not_valid_after_utc.timestamp() > now


class NodeConnection:
    """A Transport whose credentials can be replaced under load: requests that began with the old ones end with them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._current = kubeconfig.transport_of(kubeconfig.load(path))
        self._old: list[kubeconfig.Connection] = []

    async def __call__(self, request: Request) -> Response:
        now, code = asyncio.get_running_loop().time, "<error>"
        host = self._current.base_url.partition("://")[2]
        began = now()
        try:
            response = await self._current(request)
            code = str(response.status)
            return response
        finally:
            metrics.REST_REQUESTS.add(code, host, request.method)
            metrics.REST_SECONDS.observe(now() - began, host, request.method)

    def reload(self) -> None:
        """Reads the kubeconfig again. Raises OSError, ConfigError."""
        fresh = kubeconfig.transport_of(kubeconfig.load(self._path))
        self._old.append(self._current)
        self._current = fresh

    async def aclose(self) -> None:
        """Closes all connections."""
        for connection in (*self._old, self._current):
            await connection.aclose()


async def ensure_kubeconfig(path: Path, bootstrap: Path | None, wanted: Wanted, folder: Path, clock: Clock) -> None:
    """Makes `path` usable: as it is, or by TLS bootstrap with the credentials of `bootstrap`. Raises BootstrapError."""
    if _valid(path, clock.now()):
        return
    try:
        config = kubeconfig.load(bootstrap) if bootstrap is not None else None
    except FileNotFoundError:
        config = None
    if config is None:
        raise BootstrapError(
            f"{path} is missing or its certificate has ended, and there is no bootstrap kubeconfig:"
            " join this machine again with `kubeadm join`"
        )
    delay = 0.5
    while True:
        connection = kubeconfig.transport_of(config)
        try:
            pair = await obtain(Client(connection, clock=clock, user_agent="kubelet"), wanted, folder)
            break
        except (ApiError, OSError, BootstrapError) as error:
            log.warning("cannot bootstrap yet node=%s error=%s", wanted.node_name, error)
        finally:
            await connection.aclose()
        await clock.sleep(delay)
        delay = min(_RETRY, 2 * delay)
    cluster, _ = kubeconfig.resolve(config, kubeconfig.Overrides())
    write_kubeconfig(path, cluster, pair)
    log.info("joined the cluster node=%s kubeconfig=%s", wanted.node_name, path)


def _valid(path: Path, now: float) -> bool:
    if not path.exists():
        return False
    try:
        _, user = kubeconfig.resolve(kubeconfig.load(path), kubeconfig.Overrides())
    except (OSError, kubeconfig.ConfigError):
        return False
    if user.client_certificate:
        return usable(Path(user.client_certificate), now)
    if user.client_certificate_data:
        pem = base64.b64decode(user.client_certificate_data)
        return parse_certificate(pem).not_valid_after_utc.timestamp() > now
    return bool(user.token or user.token_file)


def write_kubeconfig(path: Path, cluster: kubeconfig.Cluster, pair: Path) -> None:
    """kubelet.conf: the cluster of `cluster`, the identity in `pair`."""
    user = kubeconfig.User(client_certificate=str(pair), client_key=str(pair))
    config = kubeconfig.new("default-cluster", cluster, "default-auth", user)
    contexts = {"default-context": next(iter(config.contexts.values()))}
    kubeconfig.write(path, replace(config, contexts=contexts, current_context="default-context"))


class ClientRotation:
    """Replaces the node's client certificate when 80 % of its life are over."""

    def __init__(self, path: Path, connection: NodeConnection, client: Client, wanted: Wanted, folder: Path) -> None:
        self._path = path
        self._connection = connection
        self._client = client
        self._wanted = wanted
        self._folder = folder

    async def run(self) -> None:
        """Until cancelled. Raises BootstrapError when a certificate has ended for a while and no other one came."""
        clock = self._client.clock
        while True:
            life, now = self._life(), clock.now()
            if life is None or now < life.due:
                await clock.sleep(_LOOK if life is None else _pause(life.due, now))
                continue
            if now > life.end + _PATIENCE:
                raise BootstrapError("the client certificate has ended and could not be renewed: beginning again")
            try:
                await self._rotate()
                await clock.sleep(_LEAST)
            except (ApiError, OSError, BootstrapError, kubeconfig.ConfigError) as error:
                metrics.RENEW_ERRORS.add()
                log.warning("cannot rotate the client certificate error=%s", error)
                await clock.sleep(_RETRY)

    def _life(self) -> Life | None:
        try:
            _, user = kubeconfig.resolve(kubeconfig.load(self._path), kubeconfig.Overrides())
            pem = base64.b64decode(user.client_certificate_data)
            if user.client_certificate:
                pem = Path(user.client_certificate).read_bytes()
            if pem:
                life = life_of(pem)
                metrics.CERTIFICATE_SECONDS.set(life.end - self._client.clock.now())
                return life
        except (OSError, PkiError, kubeconfig.ConfigError) as error:
            log.warning("cannot read the client certificate kubeconfig=%s error=%s", self._path, error)
        return None

    async def _rotate(self) -> None:
        pair = await obtain(self._client, self._wanted, self._folder)
        cluster, _ = kubeconfig.resolve(kubeconfig.load(self._path), kubeconfig.Overrides())
        write_kubeconfig(self._path, cluster, pair)
        self._connection.reload()
        log.info("rotated the client certificate node=%s", self._wanted.node_name)


class ServingCertificate:
    """The certificate of port 10250: by CSR, or signed by nobody else where serverTLSBootstrap is off."""

    def __init__(self, client: Client | None, wanted: Wanted, folder: Path, clock: Clock) -> None:
        self.file = folder / f"{wanted.file}-current.pem"
        self.ready = asyncio.Event()
        self._client = client
        self._wanted = wanted
        self._folder = folder
        self._clock = clock

    async def run(self, renewed: Callable[[], object]) -> None:
        """Obtains and renews until cancelled; `renewed` after each new one but the first."""
        if usable(self.file, self._clock.now()) and self._fits():
            self.ready.set()
        failures = 0
        while True:
            if not self.ready.is_set() or self._clock.now() >= self._life().due:
                try:
                    await self._obtain()
                except NotFound as error:
                    log.warning("serving certificate request is gone error=%s", error.message)
                    await self._clock.sleep(_LEAST)
                    continue
                except (ApiError, OSError, BootstrapError) as error:
                    log.warning("cannot get a serving certificate error=%s", error)
                    if self.ready.is_set():
                        metrics.SERVING_RENEW_ERRORS.add()
                    await self._clock.sleep(exponential(failures, _SOON, _RETRY))
                    failures += 1
                    continue
                failures = 0
                if self.ready.is_set():
                    renewed()
                self.ready.set()
            life, now = self._life(), self._clock.now()
            metrics.SERVING_SECONDS.set(life.end - now)
            await self._clock.sleep(_pause(life.due, now))

    def _life(self) -> Life:
        """Of the file; over, where it is gone or broken."""
        try:
            return life_of(self.file.read_bytes())
        except (OSError, PkiError):
            return Life(0.0, 0.0)

    def _fits(self) -> bool:
        """Whether the certificate on disk names all addresses that the node has now."""
        return set(self._wanted.hosts) <= set(_hosts_of(self.file))

    async def _obtain(self) -> None:
        if self._client is not None:
            await obtain(self._client, self._wanted, self._folder)
            return
        now = self._clock.now()
        name = self._wanted.node_name
        leaf = Leaf(name, hosts=self._wanted.hosts, usages=("server auth",))
        certificate, key = issue(new_authority(f"{name}-ca", now), leaf, now)
        store(self._folder, self._wanted.file, certificate + key, now)


def _hosts_of(file: Path) -> Sequence[str]:
    certificate = parse_certificate(file.read_bytes())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return [str(name.value) for name in names]
