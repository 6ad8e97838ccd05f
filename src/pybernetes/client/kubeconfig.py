"""Kubeconfig files: found, merged, changed and saved as upstream does; transport_of() opens what they describe.

Which files: `--kubeconfig`, else the list in $KUBECONFIG, else ~/.kube/config. Merged: the first file that says
something wins. Saved: a change goes back to the file it came from. Faults are ConfigErrors whose text is for the user.
"""

import base64
import binascii
import os
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from pybernetes.aio.clock import SystemClock
from pybernetes.client.execplugin import ExecToken, plugin_of
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request, Response
from pybernetes.wire.pki.files import write_private
from pybernetes.wire.tls import Identity, client_context

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a Pod finds its own credentials."""

NOTHING = (
    "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
)

T = TypeVar("T", bound=Struct)


class ConfigError(ValueError):
    """A kubeconfig that cannot be used; the text says why."""


class Cluster(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="kebab"):
    """Where an API server is and how to trust it. Data fields are base64 of PEM."""

    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    disable_compression: bool = False
    extensions: tuple[Any, ...] = ()


class User(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="kebab"):
    """Credentials. Data fields are base64 of PEM."""

    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = field(default="", name="tokenFile")
    username: str = ""
    password: str = ""
    impersonate: str = field(default="", name="as")
    impersonate_uid: str = field(default="", name="as-uid")
    impersonate_groups: tuple[str, ...] = field(default=(), name="as-groups")
    impersonate_extra: Mapping[str, tuple[str, ...]] = field(default={}, name="as-user-extra")
    exec: Mapping[str, Any] | None = None
    auth_provider: Mapping[str, Any] | None = None
    extensions: tuple[Any, ...] = ()


class Context(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cluster, a user in it, and the namespace meant when none is said."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""
    extensions: tuple[Any, ...] = ()


class _NamedCluster(Struct, frozen=True):
    name: str
    cluster: Cluster = Cluster()


class _NamedUser(Struct, frozen=True):
    name: str
    user: User = User()


class _NamedContext(Struct, frozen=True):
    name: str
    context: Context = Context()


class _File(Struct, frozen=True, rename="kebab"):
    """One file as it is written. Go reads null as nothing."""

    api_version: str = field(default="v1", name="apiVersion")
    kind: str = "Config"
    clusters: tuple[_NamedCluster, ...] | None = ()
    contexts: tuple[_NamedContext, ...] | None = ()
    users: tuple[_NamedUser, ...] | None = ()
    current_context: str = ""
    preferences: Mapping[str, Any] | None = {}
    extensions: tuple[Any, ...] | None = ()


class Kubeconfig(Struct, frozen=True, kw_only=True):
    """All files merged. Relative paths in it are those of the files: see `origins`."""

    clusters: Mapping[str, Cluster] = {}
    users: Mapping[str, User] = {}
    contexts: Mapping[str, Context] = {}
    current_context: str = ""
    preferences: Mapping[str, Any] = {}
    extensions: tuple[Any, ...] = ()
    origins: Mapping[str, Path] = {}
    """`clusters/<name>`, `users/<name>`, `contexts/<name>`, `current-context` to the file that says it."""

    def namespace(self, context: str | None = None) -> str:
        """The namespace of a context (None or empty: the current one); empty where it says none."""
        known = self.contexts.get(context or self.current_context)
        return known.namespace if known else ""


class Overrides(Struct, frozen=True, kw_only=True):
    """What flags say instead of the files; empty says nothing."""

    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    server: str | None = None
    token: str | None = None
    certificate_authority: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str | None = None
    impersonate: str | None = None
    impersonate_uid: str | None = None
    impersonate_groups: tuple[str, ...] = ()


def files(explicit: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """The files that count, the first first."""
    if explicit:
        return (Path(explicit),)
    listed = [Path(name) for name in environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    return tuple(dict.fromkeys(listed)) or (Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config",)


def load(explicit: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Kubeconfig:
    """The merged kubeconfig; empty where no file is there. Raises OSError (a file given is missing), ConfigError."""
    clusters: dict[str, Cluster] = {}
    users: dict[str, User] = {}
    contexts: dict[str, Context] = {}
    origins: dict[str, Path] = {}
    current, preferences, extensions = "", dict[str, Any](), tuple[Any, ...]()
    for path in files(explicit, environ):
        try:
            read = _read(path)
        except FileNotFoundError:
            if explicit:
                raise
            continue
        for cluster in read.clusters or ():
            _add(clusters, f"clusters/{cluster.name}", cluster.name, cluster.cluster, (origins, path))
        for user in read.users or ():
            _add(users, f"users/{user.name}", user.name, user.user, (origins, path))
        for context in read.contexts or ():
            _add(contexts, f"contexts/{context.name}", context.name, context.context, (origins, path))
        if read.current_context and not current:
            current = read.current_context
            origins["current-context"] = path
        preferences = dict(preferences or read.preferences or {})
        extensions = extensions or read.extensions or ()
    return Kubeconfig(
        clusters=clusters,
        users=users,
        contexts=contexts,
        current_context=current,
        preferences=preferences,
        extensions=extensions,
        origins=origins,
    )


def _add(found: dict[str, T], origin: str, name: str, value: T, where: tuple[dict[str, Path], Path]) -> None:
    if name not in found:
        found[name] = value
        where[0][origin] = where[1]


def _read(path: Path) -> _File:
    import yaml  # here and below: `--help` and its like read no file

    text = path.read_bytes()
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return msgspec.convert(content or {}, _File)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(f"error loading config file {str(path)!r}: {error}") from error


def save(config: Kubeconfig, explicit: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Writes what differs from the files: each entry to the file it came from, new ones to the first there is."""
    paths = files(explicit, environ)
    default = next((path for path in paths if path.exists()), paths[-1])
    placed: dict[Path, _File] = {path: _File() for path in paths if path.exists()} | {default: _File()}
    for path in placed:
        if path.exists():
            old = _read(path)
            placed[path] = replace(_File(), preferences=old.preferences, extensions=old.extensions)

    def home(origin: str) -> Path:
        found = config.origins.get(origin, default)
        return found if found in placed else default

    def put(path: Path, **more: Any) -> None:
        placed[path] = replace(placed[path], **more)

    for name, cluster in config.clusters.items():
        path = home(f"clusters/{name}")
        put(path, clusters=(*(placed[path].clusters or ()), _NamedCluster(name, cluster)))
    for name, context in config.contexts.items():
        path = home(f"contexts/{name}")
        put(path, contexts=(*(placed[path].contexts or ()), _NamedContext(name, context)))
    for name, user in config.users.items():
        path = home(f"users/{name}")
        put(path, users=(*(placed[path].users or ()), _NamedUser(name, user)))
    put(home("current-context"), current_context=config.current_context)
    for path, content in placed.items():
        if not path.exists() or _read(path) != content:
            write(path, content)


def write(path: Path, content: _File | Kubeconfig) -> None:
    """Writes one file, readable by its owner only. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, dump(content).encode())


def dump(content: _File | Kubeconfig) -> str:
    """The YAML of a file, or of everything merged."""
    if isinstance(content, Kubeconfig):
        content = _File(
            clusters=tuple(_NamedCluster(name, c) for name, c in content.clusters.items()),
            contexts=tuple(_NamedContext(name, c) for name, c in content.contexts.items()),
            users=tuple(_NamedUser(name, u) for name, u in content.users.items()),
            current_context=content.current_context,
            preferences=content.preferences,
            extensions=content.extensions,
        )
    import yaml

    plain = msgspec.to_builtins(content)
    if not plain["extensions"]:
        del plain["extensions"]
    return yaml.dump(plain, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), default_flow_style=False)


def new(name: str, cluster: Cluster, user: str, credentials: User) -> Kubeconfig:
    """A kubeconfig with one cluster, one user and the context `user@name` that kubeadm gives it."""
    context = f"{user}@{name}"
    return Kubeconfig(
        clusters={name: cluster},
        users={user: credentials},
        contexts={context: Context(cluster=name, user=user)},
        current_context=context,
    )


def encoded(pem: bytes) -> str:
    """PEM as the -data fields hold it."""
    return base64.b64encode(pem).decode()


class Connection(HttpClient):
    """A Transport with the user's credentials in every request."""

    def __init__(self, cluster: Cluster, user: User) -> None:
        super().__init__(cluster.server, ssl=_context(cluster, user), server_name=cluster.tls_server_name or None)
        self._token = user.token
        self._token_file = Path(user.token_file) if user.token_file else None
        self._exec = ExecToken(plugin_of(user.exec)) if user.exec else None
        self._extra = list(_identity_headers(user))

    async def __call__(self, request: Request) -> Response:
        """As HttpClient; a token file is read anew each time, since tokens are short-lived."""
        extra = [*self._extra]
        token = self._token
        if self._token_file:
            try:
                token = self._token_file.read_text().strip() or token
            except OSError as error:
                raise ConnectionError(f"cannot read the token file: {error}") from error
        if self._exec and not token:
            token = await self._exec.token(SystemClock().now())
        if token and "authorization" not in request.headers:
            extra.append(("authorization", f"Bearer {token}"))
        response = await super().__call__(
            Request(request.method, request.target, Headers([*request.headers, *extra]), request.body, request.peer)
        )
        if self._exec and response.status == 401:
            self._exec.refused()
        return response


def transport_of(
    config: Kubeconfig, overrides: Overrides | None = None, *, context: str | None = None, bare: bool = False
) -> Connection:
    """The connection to the API server of a context (None: the current one). Close it with aclose().

    `bare`: without the user's credentials, for requests that bring their own.

    Nothing is dialled yet. Without any configuration, a Pod's own ServiceAccount is used where there is one. Raises
    ConfigError, OSError.
    """
    cluster, user = resolve(config, overrides or Overrides(context=context))
    user = User() if bare else user
    if user.auth_provider:
        raise ConfigError("auth-provider plugins are no more; use exec, a token or a certificate")
    if cluster.proxy_url:
        raise ConfigError(f"proxy-url {cluster.proxy_url!r} is not supported yet")
    try:
        return Connection(cluster, user)
    except ssl.SSLError as error:
        raise ConfigError(f"the certificates in the kubeconfig cannot be used: {error}") from error
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(str(error)) from error


def resolve(config: Kubeconfig, overrides: Overrides) -> tuple[Cluster, User]:
    """The cluster and user of a context after the flags, paths made absolute. Raises ConfigError."""
    name = overrides.context or config.current_context
    if overrides.context and name not in config.contexts:
        raise ConfigError(f'context "{name}" does not exist')
    chosen = config.contexts.get(name, Context())
    cluster = _chosen(config.clusters, overrides.cluster or chosen.cluster, "cluster", Cluster())
    user = _chosen(config.users, overrides.user or chosen.user, "auth info", User())
    cluster = _absolute(cluster, _CLUSTER_PATHS, config.origins.get(f"clusters/{overrides.cluster or chosen.cluster}"))
    user = _absolute(user, _USER_PATHS, config.origins.get(f"users/{overrides.user or chosen.user}"))
    cluster, user = _overridden(cluster, user, overrides)
    if not cluster.server:
        found = in_cluster()
        if found is None:
            raise ConfigError(NOTHING if not name else f'no server found for cluster "{chosen.cluster}"')
        return found
    return cluster, user


def in_cluster(environ: Mapping[str, str] = os.environ, files: Path = SERVICE_ACCOUNT) -> tuple[Cluster, User] | None:
    """The API server and identity of the Pod that this process runs in; None outside of Pods."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (files / "token").exists():
        return None
    at = f"[{host}]" if ":" in host else host
    return (
        Cluster(server=f"https://{at}:{port}", certificate_authority=str(files / "ca.crt")),
        User(token_file=str(files / "token")),
    )


_CLUSTER_PATHS = ("certificate_authority",)
_USER_PATHS = ("client_certificate", "client_key", "token_file")


def _chosen(known: Mapping[str, T], name: str, what: str, default: T) -> T:
    if not name:
        return default
    if name not in known:
        raise ConfigError(f'{what} "{name}" does not exist')
    return known[name]


def _absolute(value: T, names: Iterable[str], origin: Path | None) -> T:
    """Relative paths are relative to the file that says them."""
    if origin is None:
        return value
    base = origin.absolute().parent
    return replace(value, **{n: str(base / getattr(value, n)) for n in names if getattr(value, n)})


def _overridden(cluster: Cluster, user: User, flags: Overrides) -> tuple[Cluster, User]:
    said = {name: value for name, value in msgspec.structs.asdict(flags).items() if value}
    if "certificate_authority" in said:
        cluster = replace(cluster, certificate_authority_data="")
    if "client_certificate" in said:
        user = replace(user, client_certificate_data="")
    if "client_key" in said:
        user = replace(user, client_key_data="")
    if "token" in said:
        user = replace(user, token_file="")
    if said.get("insecure_skip_tls_verify"):
        cluster = replace(cluster, certificate_authority="", certificate_authority_data="")
    of_cluster = {n: v for n, v in said.items() if n in Cluster.__struct_fields__}
    of_user = {n: v for n, v in said.items() if n in User.__struct_fields__}
    server = said.get("server", cluster.server)
    if server and "://" not in server:
        of_cluster["server"] = f"http://{server}"
    return replace(cluster, **of_cluster), replace(user, **of_user)


def _identity_headers(user: User) -> Iterable[tuple[str, str]]:
    if user.username:
        yield "authorization", "Basic " + encoded(f"{user.username}:{user.password}".encode())
    if user.impersonate:
        yield "impersonate-user", user.impersonate
    if user.impersonate_uid:
        yield "impersonate-uid", user.impersonate_uid
    for group in user.impersonate_groups:
        yield "impersonate-group", group
    for name, values in user.impersonate_extra.items():
        for value in values:
            yield f"impersonate-extra-{name}", value


def _context(cluster: Cluster, user: User) -> ssl.SSLContext | None:
    if not cluster.server.startswith("https://"):
        return None
    if cluster.insecure_skip_tls_verify and (cluster.certificate_authority or cluster.certificate_authority_data):
        raise ConfigError("specifying a root certificates file with the insecure flag is not allowed")
    # OpenSSL reads certificates from files only: data lies in files of mode 0600 for as long as that takes.
    with TemporaryDirectory(prefix="pybernetes-") as folder:
        identity = None
        certificate = _file(Path(folder, "crt"), user.client_certificate_data, user.client_certificate)
        if certificate:
            key = _file(Path(folder, "key"), user.client_key_data, user.client_key)
            identity = Identity(certificate, key or certificate)
        data = cluster.certificate_authority_data
        return client_context(
            ca=None if data or not cluster.certificate_authority else Path(cluster.certificate_authority),
            ca_data=_decoded(data).decode("ascii", "replace") if data else None,
            identity=identity,
            verify=not cluster.insecure_skip_tls_verify,
        )


def _file(held: Path, data: str, path: str) -> Path | None:
    if not data:
        return Path(path) if path else None
    write_private(held, _decoded(data))
    return held


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data)
    except binascii.Error as error:
        raise ConfigError(f"certificate data in the kubeconfig is not base64: {error}") from error
