"""Static Pod manifests of API server, controller manager and scheduler. Next: kubelet-start."""

from pybernetes.kubeadm import manifests
from pybernetes.kubeadm.config import MANIFESTS, STORE_DIR, InitConfig
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[InitConfig]) -> None:
    write_files(context)


def write_files(context: Context[InitConfig]) -> None:
    """Writes the manifests. Raises OSError."""
    context.say(f'[control-plane] Using manifest folder "{MANIFESTS}"')
    context.paths.at(STORE_DIR).mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, pod in manifests.control_plane(context.config).items():
        context.say(f'[control-plane] Creating static Pod manifest for "{name}"')
        manifests.write(context.paths, pod)


PHASE = Phase(
    name="control-plane",
    help="Generate all static Pod manifest files necessary to establish the control plane",
    run=_run,
    after=("kubeconfig",),
)
