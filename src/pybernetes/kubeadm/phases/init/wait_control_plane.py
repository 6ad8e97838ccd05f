"""Waits for the API server, and gives the administrators their role. Next: everything that goes into the API."""

from functools import partial

from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Object
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm.cluster import Cluster, wait_for
from pybernetes.kubeadm.config import InitConfig
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.objects import cluster_role_binding
from pybernetes.kubeadm.phases.init.certs import CLUSTER_ADMINS
from pybernetes.kubeadm.workflow import Context, Phase

PROGRESS_SECONDS = 10.0
SETTLE_SECONDS = 30.0
"""What a fresh API server makes itself (namespaces, roles) is there by then."""


async def _run(context: Context[InitConfig]) -> None:
    config = context.config
    context.say(
        "[wait-control-plane] Waiting for the kubelet to boot up the control plane as static Pods from directory "
        f'"{c.MANIFESTS}"'
    )
    minutes = f"{int(config.control_plane_timeout // 60)}m{int(config.control_plane_timeout % 60)}s"
    context.say(f"[control-plane-check] Waiting for healthy control plane components. This can take up to {minutes}")
    context.say(f"[control-plane-check] Checking kube-apiserver at {config.local_endpoint}/readyz")
    context.cluster = Cluster.of_file(context.paths.at(c.SUPER_ADMIN_CONF), context.clock)
    try:
        seconds = await _wait(context, context.cluster)
        context.say(f"[control-plane-check] kube-apiserver is healthy after {seconds:.3f}s")
        await context.cluster.put(cluster_role_binding(CLUSTER_ADMINS, "cluster-admin", CLUSTER_ADMINS))
    finally:
        await context.cluster.aclose()
    context.cluster = Cluster.of_file(context.paths.at(c.ADMIN_CONF), context.clock)
    # the binding takes effect when the API server's own caches have seen it
    api = context.api()
    if not await wait_for(context.clock, SETTLE_SECONDS, lambda: _allowed(api)):
        raise KubeadmError("kubernetes-admin is not allowed to administer the cluster")
    for namespace in ("kube-system", "kube-public"):
        await wait_for(context.clock, SETTLE_SECONDS, partial(api.client.raw, "GET", f"/api/v1/namespaces/{namespace}"))


async def _wait(context: Context[InitConfig], cluster: Cluster) -> float:
    begin = context.clock.monotonic()
    said = begin

    async def ask() -> bool:
        nonlocal said
        try:
            await cluster.ready()
        except (ApiError, OSError) as error:
            if context.clock.monotonic() - said >= PROGRESS_SECONDS:
                said = context.clock.monotonic()
                context.say(f"[control-plane-check] not yet after {said - begin:.0f}s: {error}")
            raise
        return True

    try:
        await wait_for(context.clock, context.config.control_plane_timeout, ask)
    except (ApiError, OSError) as error:
        raise KubeadmError(
            f"kube-apiserver is not healthy after {context.config.control_plane_timeout:.0f}s: {error}\n\n"
            "A control plane component may have crashed or exited, or nothing has started it. Look at:\n"
            "\t- 'systemctl status kubelet' and 'journalctl -xeu kubelet' where the kubelet is a systemd service\n"
            "\t- the logs in /var/log/pods and /var/log/pybernetes\n"
        ) from error
    return context.clock.monotonic() - begin


async def _allowed(cluster: Cluster) -> bool | None:
    review: Object = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "*", "resource": "*", "group": "*"}},
    }
    answer = await cluster.client.raw("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool((answer.get("status") or {}).get("allowed")) or None


PHASE = Phase(
    name="wait-control-plane",
    help="Wait for the control plane to start",
    run=_run,
    after=("kubelet-start",),
)
