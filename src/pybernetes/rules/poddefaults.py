"""What upstream fills in where a Pod or a template says nothing. The API server calls it, and who compares templates of old."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.rules.podresources import of_containers
from pybernetes.rules.resourcenames import HUGE_PAGES, POD_LEVEL, is_pod_level

_SECRET_MODE = 0o644


def default_pod(obj: Object) -> None:
    """A Pod itself: what templates get, and what only Pods get (requests from limits, host ports, links)."""
    spec = obj["spec"] = obj.get("spec") or {}
    default_spec(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    for container in _all_containers(spec):
        resources = container["resources"]
        if resources.get("limits"):
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort") or 0
    if spec.get("resources"):
        _pod_level(spec, spec["resources"])


def _pod_level(spec: Object, resources: Object) -> None:
    """Pod-level requests: what the containers request together, else the Pod's limit (KEP-2837)."""
    limits = dict(resources.get("limits") or {})
    for name, total in of_containers(spec, "limits").items():
        if name.startswith(HUGE_PAGES) and name not in limits and (limits or resources.get("requests")):
            limits[name] = str(total)
    if limits:
        resources["limits"] = limits
    if not limits and not resources.get("requests"):
        return
    requests = dict(resources.get("requests") or {})
    for name, total in of_containers(spec, "requests").items():
        if name in POD_LEVEL and name not in requests:
            requests[name] = str(total)
    for name, text in limits.items():
        if is_pod_level(name) and name not in requests:
            requests[name] = text
    if requests:
        resources["requests"] = requests


def default_template(template: Object) -> None:
    """The template of a workload."""
    template.setdefault("metadata", {})
    spec = template["spec"] = template.get("spec") or {}
    default_spec(spec)


def default_spec(spec: Object) -> None:
    """A Pod spec, wherever it is."""
    _unset(spec, dnsPolicy="ClusterFirst", restartPolicy="Always", schedulerName="default-scheduler")
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    spec.setdefault("securityContext", {})
    # The old name counts where the new one is missing, and always shows the same.
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in _all_containers(spec):
        _container(container)
    for container in spec.get("ephemeralContainers") or ():
        _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _all_containers(spec: Object) -> Iterable[Object]:
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _unset(obj: Object, **values: Any) -> None:
    for field, value in values.items():
        if not obj.get(field):
            obj[field] = value


@lru_cache(maxsize=1024)
def pull_policy(image: str) -> str:
    """Always for `:latest` and for images without tag and digest, else IfNotPresent."""
    name, _, digest = image.partition("@")
    last = name.rpartition("/")[2]
    tag = last.partition(":")[2]
    if tag == "latest" or (not tag and not digest):
        return "Always"
    return "IfNotPresent"


def _container(container: Object) -> None:
    get = container.get
    if not get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(get("image") or "")
    if not get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    if get("resources") is None:
        container["resources"] = {}
    for port in get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in get("env") or ():
        if variable.get("valueFrom"):
            _value_from(variable["valueFrom"])
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if get(name) is not None:
            _probe(container[name])
    if get("lifecycle"):
        _lifecycle(container["lifecycle"])


def _lifecycle(lifecycle: Object) -> None:
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            _http(lifecycle[name].get("httpGet"))


def _value_from(source: Object) -> None:
    _field_ref(source.get("fieldRef"))
    if source.get("resourceFieldRef") is not None:
        source["resourceFieldRef"].setdefault("divisor", "0")
    if source.get("fileKeyRef") is not None and source["fileKeyRef"].get("optional") is None:
        source["fileKeyRef"]["optional"] = False


def _probe(probe: Object) -> None:
    _unset(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _http(probe.get("httpGet"))
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _http(action: Object | None) -> None:
    if action is not None:
        _unset(action, path="/", scheme="HTTP")


def _field_ref(ref: Object | None) -> None:
    if ref is not None:
        _unset(ref, apiVersion="v1")


_FILES = ("secret", "configMap", "downwardAPI", "projected")
_IN_TREE: dict[str, dict[str, Any]] = {
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def _volume(volume: Object) -> None:
    if not any(value is not None for field, value in volume.items() if field != "name"):
        volume["emptyDir"] = {}
    for kind, source in volume.items():
        if kind == "name" or source is None:
            continue
        if kind in _FILES and source.get("defaultMode") is None:
            source["defaultMode"] = _SECRET_MODE
        rule = _VOLUMES.get(kind)
        if rule is not None:
            rule(source)


def _host_path(source: Object) -> None:
    source.setdefault("type", "")


def _in_tree(kind: str) -> Callable[[Object], None]:
    def fill(source: Object) -> None:
        for field, value in _IN_TREE[kind].items():
            if source.get(field) is None or (source[field] == "" and kind != "azureDisk"):
                source[field] = value

    return fill


def _projected(source: Object) -> None:
    for part in source.get("sources") or ():
        _downward_items(part.get("downwardAPI"))
        if part.get("serviceAccountToken") is not None:
            token = part["serviceAccountToken"]
            if token.get("expirationSeconds") is None:
                token["expirationSeconds"] = 3600
        if part.get("podCertificate") is not None:
            part["podCertificate"].setdefault("maxExpirationSeconds", 86400)


def _image(source: Object) -> None:
    _unset(source, pullPolicy=pull_policy(source.get("reference") or ""))


def _ephemeral(source: Object) -> None:
    claim = (source.get("volumeClaimTemplate") or {}).get("spec")
    if claim is not None and claim.get("volumeMode") is None:
        claim["volumeMode"] = "Filesystem"


def _downward_items(source: Object | None) -> None:
    for item in (source or {}).get("items") or ():
        _field_ref(item.get("fieldRef"))
        if item.get("resourceFieldRef") is not None:
            item["resourceFieldRef"].setdefault("divisor", "0")


_VOLUMES: dict[str, Callable[[Object], None]] = {
    "hostPath": _host_path,
    "downwardAPI": _downward_items,
    "projected": _projected,
    "image": _image,
    "ephemeral": _ephemeral,
    **{kind: _in_tree(kind) for kind in _IN_TREE},
}
