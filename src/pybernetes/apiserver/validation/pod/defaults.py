"""What upstream fills in where a Pod or a template says nothing. resources/core/pods.py and all kinds with templates call it."""

from collections.abc import Iterable
from typing import Any

from pybernetes.api.objects import Object

_SECRET_MODE = 0o644


def default_pod(obj: Object) -> None:
    """A Pod itself: what templates get, and what only Pods get (requests from limits, host ports, links)."""
    spec = obj["spec"] = obj.get("spec") or {}
    default_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in _all_containers(spec):
        resources = container.get("resources") or {}
        limits = resources.get("limits")
        if limits:
            resources["requests"] = {**limits, **(resources.get("requests") or {})}
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort")


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


def pull_policy(image: str) -> str:
    """Always for `:latest` and for images without tag and digest, else IfNotPresent."""
    name, _, digest = image.partition("@")
    last = name.rpartition("/")[2]
    tag = last.partition(":")[2]
    if tag == "latest" or (not tag and not digest):
        return "Always"
    return "IfNotPresent"


def _container(container: Object) -> None:
    _unset(
        container,
        imagePullPolicy=pull_policy(container.get("image") or ""),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        _unset(port, protocol="TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if not source:
            continue
        _field_ref(source.get("fieldRef"))
        if source.get("resourceFieldRef") is not None:
            source["resourceFieldRef"].setdefault("divisor", "0")
        if source.get("fileKeyRef") is not None:
            source["fileKeyRef"].setdefault("optional", False)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _probe(container[name])
    lifecycle = container.get("lifecycle") or {}
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            _http(lifecycle[name].get("httpGet"))


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


def _volume(volume: Object) -> None:
    if not any(value is not None for field, value in volume.items() if field != "name"):
        volume["emptyDir"] = {}
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        source = volume.get(name)
        if source is not None and source.get("defaultMode") is None:
            source["defaultMode"] = _SECRET_MODE
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    _downward_items(volume.get("downwardAPI"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        _downward_items(source.get("downwardAPI"))
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    if volume.get("image") is not None:
        _unset(volume["image"], pullPolicy=pull_policy(volume["image"].get("reference") or ""))
    claim = ((volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec")
    if claim is not None:
        _unset(claim, volumeMode="Filesystem")


def _downward_items(source: Object | None) -> None:
    for item in (source or {}).get("items") or ():
        _field_ref(item.get("fieldRef"))
        if item.get("resourceFieldRef") is not None:
            item["resourceFieldRef"].setdefault("divisor", "0")
