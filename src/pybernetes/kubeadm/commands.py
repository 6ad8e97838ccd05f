"""The commands of kubeadm, free of flags: init, join, token, certs, config. reset.py has reset; cmd/kubeadm.py calls all."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

import yaml
from cryptography import x509

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm import manifests, texts, tokens
from pybernetes.kubeadm.checks import init_checks, run_checks
from pybernetes.kubeadm.cluster import Cluster
from pybernetes.kubeadm.config import InitConfig, JoinConfig, Paths
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.workflow import Context, Phase, Say, phases_of, run_phases
from pybernetes.wire.pki import certificates
from pybernetes.wire.pki.keys import PkiError

RETRY = "\n\nWhat was written so far is kept for a look. Run 'kubeadm reset -f' before you try again"
_TRUSTLESS = {"preflight", "discovery", "control-plane-preflight"}
"""Phases that change nothing on the machine."""
_SECRETS = "/api/v1/namespaces/kube-system/secrets"


@dataclass(frozen=True)
class Machine:
    """Where a command works and to whom it speaks."""

    paths: Paths
    clock: Clock
    say: Say
    warn: Say


async def init(config: InitConfig, machine: Machine) -> None:
    """Makes this machine the control plane of a new cluster. Raises KubeadmError."""
    machine.say(f"[init] Using Kubernetes version: {config.version}")
    if config.dry_run:
        await _dry_init(config, machine)
        return
    context = Context(config, machine.paths, machine.clock, machine.say, machine.warn)
    await _run(context, phases_of("init"))
    ca = machine.paths.at(f"{c.PKI}/ca.crt").read_bytes()
    machine.say(texts.initialized(config, ca, context.certificate_key))


async def init_phase(name: str, config: InitConfig, machine: Machine) -> None:
    """One phase of init alone. Raises KubeadmError."""
    context = Context(config, machine.paths, machine.clock, machine.say, machine.warn)
    phases = _named("init", name)
    if machine.paths.at(c.ADMIN_CONF).exists():
        context.cluster = Cluster.of_file(machine.paths.at(c.ADMIN_CONF), machine.clock)
    await _run_alone(context, phases)


async def join_phase(name: str, config: JoinConfig, machine: Machine) -> None:
    """One phase of join alone; the cluster is discovered before, where the phase needs it. Raises KubeadmError."""
    context = Context(config, machine.paths, machine.clock, machine.say, machine.warn)
    needed = [] if name in ("preflight", "discovery") else _named("join", "discovery")
    await _run_alone(context, [*needed, *_named("join", name)])


def _named(command: str, name: str) -> list[Phase]:
    known = phases_of(command)
    found = [phase for phase in known if phase.name == name]
    if not found:
        listed = "\n".join(f"  {phase.name:<24}{phase.help}" for phase in known)
        raise KubeadmError(f'there is no phase "{name}" of kubeadm {command}. The phases are:\n{listed}')
    return found


async def _run_alone(context: Context[InitConfig] | Context[JoinConfig], phases: Sequence[Phase]) -> None:
    try:
        await run_phases(context, phases)  # type: ignore[misc] # as in _run
    finally:
        if context.cluster is not None:
            await context.cluster.aclose()


async def _dry_init(config: InitConfig, machine: Machine) -> None:
    checks = init_checks(machine.paths, config.node, config.bind_port)
    await asyncio.to_thread(run_checks, checks, config.checks, machine.warn)
    folder = Path(mkdtemp(prefix="kubeadm-init-dryrun"))
    context = Context(config, Paths(folder), machine.clock, machine.say, machine.warn)
    local = ("certs", "kubeconfig", "control-plane")
    await run_phases(context, [phase for phase in phases_of("init") if phase.name in local])
    machine.say(
        f'[dryrun] Wrote certificates, kubeconfig files and control plane manifests to the "{folder}" directory'
    )
    machine.say("[dryrun] Finished dry-running successfully. Above are the resources that would be created")


async def join(config: JoinConfig, machine: Machine) -> None:
    """Makes this machine a node of a cluster. Raises KubeadmError."""
    phases = phases_of("join")
    if config.dry_run:
        phases = [phase for phase in phases if phase.name in _TRUSTLESS]
    context = Context(config, machine.paths, machine.clock, machine.say, machine.warn)
    await _run(context, phases)
    if config.dry_run:
        machine.say("[dryrun] Finished dry-running successfully: this machine could join the cluster")
    else:
        machine.say(texts.JOINED if config.control_plane is None else texts.JOINED_CONTROL_PLANE)


async def _run(context: Context[InitConfig] | Context[JoinConfig], phases: Sequence[Phase]) -> None:
    try:
        await run_phases(context, phases)  # type: ignore[misc] # one of the two, and the phases are of the same command
    except KubeadmError as error:
        untouched = set(context.started) <= _TRUSTLESS
        raise KubeadmError(str(error) if untouched else f"{error}{RETRY}") from error
    finally:
        if context.cluster is not None:
            await context.cluster.aclose()


@dataclass(frozen=True)
class NewToken:
    """What `kubeadm token create` is asked for. `ttl` is seconds, 0 never expires."""

    token: tokens.Token
    ttl: float
    description: str = ""
    groups: tuple[str, ...] = (tokens.GROUP,)
    print_join_command: bool = False
    certificate_key: str = ""
    """For the join command of a control plane."""


async def create_token(new: NewToken, admin_conf: Path, machine: Machine) -> None:
    """Raises KubeadmError."""
    expires = machine.clock.now() + new.ttl if new.ttl else None
    secret = tokens.secret_of(new.token, expires=expires, description=new.description, groups=new.groups)
    cluster = Cluster.of_file(admin_conf, machine.clock)
    try:
        await cluster.create(secret)
    except AlreadyExists as error:
        raise KubeadmError(f'a token with id "{new.token.id}" already exists') from error
    except (ApiError, OSError) as error:
        raise KubeadmError(f"failed to create the bootstrap token: {error}") from error
    finally:
        await cluster.aclose()
    if new.print_join_command:
        machine.say(texts.join_command_of(admin_conf, str(new.token), new.certificate_key))
    else:
        machine.say(str(new.token))


async def list_tokens(admin_conf: Path, machine: Machine) -> None:
    """A table of all tokens. Raises KubeadmError."""
    cluster = Cluster.of_file(admin_conf, machine.clock)
    try:
        found = await cluster.client.raw("GET", _SECRETS, query={"fieldSelector": f"type={tokens.SECRET_TYPE}"})
    except (ApiError, OSError) as error:
        raise KubeadmError(f"failed to list bootstrap tokens: {error}") from error
    finally:
        await cluster.aclose()
    rows = [("TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS")]
    rows += [tokens.row(secret, machine.clock.now()) for secret in found.get("items") or ()]
    machine.say(_table(rows))


async def delete_tokens(ids: Sequence[str], admin_conf: Path, machine: Machine) -> None:
    """Raises KubeadmError, InvalidConfigError."""
    wanted = [tokens.parse_id(text) for text in ids]
    cluster = Cluster.of_file(admin_conf, machine.clock)
    try:
        for token_id in wanted:
            await cluster.client.raw("DELETE", f"{_SECRETS}/bootstrap-token-{token_id}")
            machine.say(f'bootstrap token "{token_id}" deleted')
    except NotFound as error:
        raise KubeadmError(f'failed to delete bootstrap token "{token_id}": there is no such token') from error
    except (ApiError, OSError) as error:
        raise KubeadmError(f'failed to delete bootstrap token "{token_id}": {error}') from error
    finally:
        await cluster.aclose()


def check_expiration(machine: Machine) -> None:
    """A table of the certificates of this control plane and when they end. Raises KubeadmError."""
    now = datetime.fromtimestamp(machine.clock.now(), UTC)
    rows = [("CERTIFICATE", "EXPIRES", "RESIDUAL TIME", "CERTIFICATE AUTHORITY")]
    authorities = [("CERTIFICATE AUTHORITY", "EXPIRES", "RESIDUAL TIME")]
    for conf in (c.ADMIN_CONF, c.CONTROLLER_MANAGER_CONF, c.SCHEDULER_CONF, c.SUPER_ADMIN_CONF):
        found = _client_certificate(machine.paths.at(conf))
        if found is not None:
            rows.append((Path(conf).name, *_residual(found, now), "ca"))
    for name, authority in (
        ("apiserver", "ca"),
        ("apiserver-kubelet-client", "ca"),
        ("front-proxy-client", "front-proxy-ca"),
    ):
        rows.append((name, *_residual(_certificate(machine.paths, name), now), authority))
    for name in ("ca", "front-proxy-ca"):
        authorities.append((name, *_residual(_certificate(machine.paths, name), now)))
    machine.say(f"{_table(rows)}\n\n{_table(authorities)}")


def _certificate(paths: Paths, name: str) -> x509.Certificate:
    path = paths.at(f"{c.PKI}/{name}.crt")
    try:
        return certificates.parse_certificate(path.read_bytes())
    except OSError as error:
        raise KubeadmError(f"{path}: {error.strerror}: this is no control-plane node") from error
    except PkiError as error:
        raise KubeadmError(f"{path}: {error}") from error


def _client_certificate(path: Path) -> x509.Certificate | None:
    try:
        user = yaml.safe_load(path.read_text())["users"][0]["user"]
        return certificates.parse_certificate(base64.b64decode(user["client-certificate-data"]))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise KubeadmError(f"{path}: cannot read the client certificate: {error}") from error


def _residual(certificate: x509.Certificate, now: datetime) -> tuple[str, str]:
    end = certificate.not_valid_after_utc
    return end.strftime("%b %d, %Y %H:%M UTC"), tokens.short_duration((end - now).total_seconds())


def images(version: str) -> list[str]:
    """What a control plane of that version runs, and the sandbox image."""
    names = (manifests.API_SERVER, manifests.CONTROLLER_MANAGER, manifests.SCHEDULER, "kube-proxy")
    return [*(manifests.image(name, version) for name in names), f"{manifests.IMAGES}/pause:3.10"]


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(10, *(len(row[i]) + 3 for row in rows)) for i in range(len(rows[0]))]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
