"""With --upload-certs: what control planes share goes, sealed, into a Secret for those that join. Next: mark-control-plane."""

from pybernetes.kubeadm import shared_certs, tokens
from pybernetes.kubeadm.config import InitConfig
from pybernetes.kubeadm.configfile import kept_etcd
from pybernetes.kubeadm.objects import readers
from pybernetes.kubeadm.workflow import Context, Phase

DESCRIPTION = "Proxy for managing TTL for the kubeadm-certs secret"
_SECRETS = f"/api/v1/namespaces/{shared_certs.NAMESPACE}/secrets"


async def _run(context: Context[InitConfig]) -> None:
    config = context.config
    if not config.upload_certs:
        context.say("[upload-certs] Skipping phase. Please see --upload-certs")
        return
    api = context.api()
    context.say(
        f'[upload-certs] Storing the certificates in Secret "{shared_certs.SECRET}" in the '
        f'"{shared_certs.NAMESPACE}" Namespace'
    )
    context.certificate_key = config.certificate_key or shared_certs.new_key()
    kept = await api.config_map(shared_certs.NAMESPACE, "kubeadm-config")  # run alone, it may have no --config
    shared = shared_certs.files(kept_etcd(kept.get("ClusterConfiguration", "")))
    expires = context.clock.now() + shared_certs.TTL_SECONDS
    lease = tokens.secret_of(tokens.generate(), expires=expires, description=DESCRIPTION, groups=(), usages=())
    owner = await api.client.raw("POST", _SECRETS, lease)
    await api.put(shared_certs.sealed(context.paths, shared, context.certificate_key, owner))
    name = "kubeadm:kubeadm-certs"
    for obj in readers(shared_certs.NAMESPACE, name, shared_certs.SECRET, groups=(tokens.GROUP,), resource="secrets"):
        await api.put(obj)
    if not config.skip_certificate_key_print:
        context.say(f"[upload-certs] Using certificate key:\n{context.certificate_key}")


PHASE = Phase(name="upload-certs", help="Upload certificates to kubeadm-certs", run=_run, after=("upload-config",))
