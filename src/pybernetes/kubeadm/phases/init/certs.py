"""The cluster's authorities and the certificates of the control plane. What is there already is kept. Next: kubeconfig."""

from pathlib import Path

from msgspec import Struct

from pybernetes.kubeadm.config import PKI, InitConfig, split_host
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.workflow import Context, Phase
from pybernetes.wire.pki import certificates, files, keys
from pybernetes.wire.pki.certificates import Authority, Leaf

CLUSTER_ADMINS = "kubeadm:cluster-admins"


class _Wanted(Struct, frozen=True):
    file: str
    authority: str
    leaf: Leaf


def api_server_names(config: InitConfig) -> tuple[str, ...]:
    """Every name and address under which somebody may ask the API server."""
    domain = config.networking.dns_domain
    names = [
        config.node.name,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{domain}",
        "localhost",
        config.networking.api_service_address,
        config.node.address,
        "127.0.0.1",
    ]
    if config.control_plane_endpoint:
        names.append(split_host(config.control_plane_endpoint)[0])
    return tuple(dict.fromkeys([*names, *config.cert_extra_sans]))


def authority_of(folder: Path, name: str) -> Authority:
    """An authority on disk. Raises KubeadmError."""
    try:
        return certificates.parse_authority(
            (folder / f"{name}.crt").read_bytes(), (folder / f"{name}.key").read_bytes()
        )
    except OSError as error:
        raise KubeadmError(f"couldn't load the certificate authority: {error.filename}: {error.strerror}") from error
    except keys.PkiError as error:
        raise KubeadmError(f"certificate authority {folder / name}.crt: {error}") from error


async def _run(context: Context[InitConfig]) -> None:
    write_files(context)


def write_files(context: Context[InitConfig]) -> None:
    """Makes what is missing. Raises KubeadmError, OSError."""
    config = context.config
    folder = context.paths.at(PKI)
    context.say(f'[certs] Using certificateDir folder "{PKI}"')
    now = context.clock.now()
    for name, common in (("ca", "kubernetes"), ("front-proxy-ca", "front-proxy-ca")):
        if (folder / f"{name}.crt").exists():
            authority_of(folder, name)
            context.say(f"[certs] Using existing {name} certificate authority")
            continue
        context.say(f'[certs] Generating "{name}" certificate and key')
        made = certificates.new_authority(common, now)
        files.write_private(folder / f"{name}.key", made.key_pem)
        files.write_public(folder / f"{name}.crt", made.pem)
    for wanted in _leafs(config):
        _leaf(context, folder, wanted)
    _service_account_keys(context, folder)


def _leafs(config: InitConfig) -> tuple[_Wanted, ...]:
    return (
        _Wanted("apiserver", "ca", Leaf("kube-apiserver", hosts=api_server_names(config), usages=("server auth",))),
        _Wanted("apiserver-kubelet-client", "ca", Leaf("kube-apiserver-kubelet-client", (CLUSTER_ADMINS,))),
        _Wanted("front-proxy-client", "front-proxy-ca", Leaf("front-proxy-client")),
    )


def _leaf(context: Context[InitConfig], folder: Path, wanted: _Wanted) -> None:
    certificate, key = folder / f"{wanted.file}.crt", folder / f"{wanted.file}.key"
    if certificate.exists() and key.exists():
        context.say(f"[certs] Using existing {wanted.file} certificate and key on disk")
        return
    context.say(f'[certs] Generating "{wanted.file}" certificate and key')
    issued, private = certificates.issue(authority_of(folder, wanted.authority), wanted.leaf, context.clock.now())
    files.write_private(key, private)
    files.write_public(certificate, issued)
    if wanted.leaf.hosts:
        names = [host for host in wanted.leaf.hosts if not _numeric(host)]
        addresses = [host for host in wanted.leaf.hosts if _numeric(host)]
        context.say(
            f"[certs] {wanted.file} serving cert is signed for DNS names [{' '.join(names)}] "
            f"and IPs [{' '.join(addresses)}]"
        )


def _service_account_keys(context: Context[InitConfig], folder: Path) -> None:
    private, public = folder / "sa.key", folder / "sa.pub"
    if private.exists():
        context.say('[certs] Using the existing "sa" key')
    else:
        context.say('[certs] Generating "sa" key and public key')
        files.write_private(private, keys.key_pem(keys.new_rsa_key()))
    try:
        key = keys.parse_public_key(private.read_bytes())
    except keys.PkiError as error:
        raise KubeadmError(f"{private}: {error}") from error
    files.write_public(public, keys.public_pem(key))


def _numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


PHASE = Phase(name="certs", help="Certificate generation", run=_run, after=("preflight",))
