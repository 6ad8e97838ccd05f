"""Waits for the control plane, and gives the administrators their role. Next: everything that goes into the API."""

import asyncio
from functools import partial

from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Object
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm.cluster import Cluster, wait_for
from pybernetes.kubeadm.config import InitConfig
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.manifests import CONTROLLER_MANAGER, SCHEDULER, control_plane
from pybernetes.kubeadm.objects import cluster_role_binding
from pybernetes.kubeadm.phases.init.certs import CLUSTER_ADMINS
from pybernetes.kubeadm.workflow import Context, Phase
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Request, join_host_port
from pybernetes.wire.tls import client_context

_PORTS = {CONTROLLER_MANAGER: "10257", SCHEDULER: "10259"}
PROGRESS_SECONDS = 10.0
SETTLE_SECONDS = 30.0
"""What a fresh API server makes itself (namespaces, roles) is there by then."""


async def _run(context: Context[InitConfig]) -> None:
    context.cluster = Cluster.of_file(context.paths.at(c.SUPER_ADMIN_CONF), context.clock)
    try:
        await healthy(context, context.cluster)
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


async def healthy(context: Context[InitConfig], cluster: Cluster) -> None:
    """Waits for all three of this machine; `cluster` leads to its API server. Raises KubeadmError."""
    config = context.config
    context.say(
        "[wait-control-plane] Waiting for the kubelet to boot up the control plane as static Pods from directory "
        f'"{c.MANIFESTS}"'
    )
    minutes = f"{int(config.control_plane_timeout // 60)}m{int(config.control_plane_timeout % 60)}s"
    context.say(f"[control-plane-check] Waiting for healthy control plane components. This can take up to {minutes}")
    context.say(f"[control-plane-check] Checking kube-apiserver at {config.local_endpoint}/readyz")
    others = {name: _health(pod, path) for name, pod, path in _others(config)}
    for name, url in others.items():
        context.say(f"[control-plane-check] Checking {name} at {url}")
    begin = context.clock.monotonic()
    seconds = await _wait(context, cluster)
    context.say(f"[control-plane-check] kube-apiserver is healthy after {seconds:.3f}s")
    await asyncio.gather(*(_wait_other(context, name, url, begin) for name, url in others.items()))


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


def _others(config: InitConfig) -> list[tuple[str, Object, str]]:
    pods = control_plane(config)
    return [(CONTROLLER_MANAGER, pods[CONTROLLER_MANAGER], "/healthz"), (SCHEDULER, pods[SCHEDULER], "/livez")]


def _health(pod: Object, path: str) -> str:
    """Where a component says how it is: its own flags say so."""
    words = (word.removeprefix("--").partition("=") for word in pod["spec"]["containers"][0]["command"][1:])
    flags = {name: value for name, _, value in words}
    port = int(flags.get("secure-port", _PORTS[pod["metadata"]["name"]]))
    return f"https://{join_host_port(flags.get('bind-address', '127.0.0.1'), port)}{path}"


async def _wait_other(context: Context[InitConfig], name: str, url: str, begin: float) -> None:
    client = HttpClient(url.rpartition("/")[0], ssl=client_context(verify=False), timeout=5.0)

    async def ask() -> bool | None:
        return True if (await client(Request("GET", f"/{url.rpartition('/')[2]}"))).status == 200 else None

    try:
        healthy = await wait_for(context.clock, context.config.control_plane_timeout, ask)
    except OSError as error:
        raise KubeadmError(
            f"{name} is not healthy after {context.config.control_plane_timeout:.0f}s: {error}"
        ) from error
    finally:
        await client.aclose()
    if healthy is None:
        raise KubeadmError(f"{name} is not healthy after {context.config.control_plane_timeout:.0f}s")
    context.say(f"[control-plane-check] {name} is healthy after {context.clock.monotonic() - begin:.3f}s")


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
