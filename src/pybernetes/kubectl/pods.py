"""Which Pod, which container: logs, exec and others take a Pod's name, or a workload and pick one of its Pods."""

import sys

from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.session import Session
from pybernetes.kubectl.targets import Target, resource_targets

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


async def pod_of(session: Session, word: str) -> Object:
    """The Pod of `web`, `pod/web`, `deploy/web`, `svc/web`: the first running one of a workload. Raises Refused, NotFound."""
    if "/" not in word:
        return await session.request("GET", f"/api/v1/namespaces/{session.namespace}/pods/{word}")
    mapper = await session.mapper()
    target = resource_targets(mapper, [word])[0]
    obj = await session.request("GET", target.mapping.path(session.namespace, target.name))
    if target.mapping.plural == "pods":
        return obj
    pods = await pods_of(session, selector_of(target, obj))
    if not pods:
        raise Refused(f"no pods found for {target.shown}: its selector matches none")
    return sorted(pods, key=_preference)[0]


async def pods_of(session: Session, selector: str) -> list[Object]:
    """The Pods of the session's namespace with these labels."""
    listed = await session.request(
        "GET", f"/api/v1/namespaces/{session.namespace}/pods", query={"labelSelector": selector}
    )
    return list(listed.get("items") or ())


def selector_of(target: Target, obj: Object) -> str:
    """The label selector text of a workload or Service. Raises Refused where there is none."""
    selector = (obj.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels", selector if "matchExpressions" not in selector else {})
    if not labels:
        raise Refused(f"{target.shown} has no selector of labels: name a Pod")
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _preference(pod: Object) -> tuple[bool, bool, str]:
    status = pod.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    return (status.get("phase") != "Running", not ready, pod["metadata"].get("creationTimestamp", ""))


def containers(pod: Object) -> list[str]:
    """Names of the Pod's containers: regular, init, ephemeral."""
    spec = pod["spec"]
    fields = ("containers", "initContainers", "ephemeralContainers")
    return [container["name"] for field in fields for container in spec.get(field) or ()]


def container_of(pod: Object, asked: str, *, quiet: bool = False) -> str:
    """The container asked for, else the default one; says so when there was a choice. Raises Refused."""
    names = containers(pod)
    if asked:
        if asked not in names:
            raise Refused(
                f"container {asked} is not valid for pod {pod['metadata']['name']} out of: {', '.join(names)}"
            )
        return asked
    wanted = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    if wanted in names:
        return str(wanted)
    regular = [container["name"] for container in pod["spec"]["containers"]]
    if len(names) > 1 and not quiet:
        init = [f"{c['name']} (init)" for c in pod["spec"].get("initContainers") or ()]
        ephemeral = [f"{c['name']} (ephem)" for c in pod["spec"].get("ephemeralContainers") or ()]
        listed = ", ".join([*regular, *ephemeral, *init])
        print(f'Defaulted container "{regular[0]}" out of: {listed}', file=sys.stderr)
    return str(regular[0])
