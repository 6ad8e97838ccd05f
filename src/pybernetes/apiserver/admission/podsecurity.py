"""PodSecurity: Pods keep to the Pod Security Standard that their namespace's labels ask for (rules/podsecurity).

Pods are refused, workloads that would make such Pods are warned of. Configuration (PodSecurityConfiguration):
`defaults` for namespaces without labels, `exemptions` by user name, RuntimeClass and namespace.
"""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import invalid
from pybernetes.api.objects import Object
from pybernetes.apiserver.admission._followed import NAMESPACES, PODS, Followed, annotations, refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry
from pybernetes.rules.podsecurity.evaluate import brief, detailed, violations
from pybernetes.rules.podsecurity.policy import (
    MODES,
    PREFIX,
    Policy,
    Standard,
    level_of,
    minor_of,
    of_labels,
    stricter,
)

_MOST_PODS = 3000
"""Of a namespace that are looked at when its labels change."""
_TEMPLATES = {
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}
"""Where workloads keep the Pod that they make."""
_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"


class PodSecurity:
    """The plugin of one server."""

    def __init__(self, registry: Registry, configuration: Mapping[str, Any]) -> None:
        self._registry = registry
        self._defaults = _defaults(configuration.get("defaults") or {})
        self._exempt = {kind: frozenset(names or ()) for kind, names in (configuration.get("exemptions") or {}).items()}
        self._namespaces = Followed(registry, NAMESPACES)

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises Forbidden for Pods, Invalid for a namespace's labels; warns of everything else."""
        resource = request.call.resource.group_resource
        if resource == NAMESPACES:
            await self._namespace(request)
            return
        reason = self._exemption(request)
        if reason:
            request.audit_annotations[f"{PREFIX}exempt"] = reason
            return
        namespace = self._namespaces.get(request.call.namespace)
        if namespace is None:
            namespace = await self._registry.get(NAMESPACES, "", request.call.namespace)
        policy, faults = of_labels((namespace["metadata"].get("labels")) or {}, self._defaults)
        if policy.lax and not faults:
            return
        if faults:
            told = ", ".join(map(str, faults))
            request.audit_annotations[f"{PREFIX}error"] = f"Failed to parse policy: {told}"
        if resource == PODS:
            if request.old is None or _matters(request.object, request.old):
                self._judge(request, policy, request.object, enforce=True)
            return
        template: Any = request.object
        for field in _TEMPLATES[str(resource)]:
            template = (template or {}).get(field)
        if template:
            self._judge(request, policy, template, enforce=False)

    def _judge(self, request: AdmissionRequest, policy: Policy, pod: Mapping[str, Any], *, enforce: bool) -> None:
        meta, spec = pod.get("metadata") or {}, pod.get("spec") or {}
        if spec.get("runtimeClassName") in self._exempt.get("runtimeClasses", ()):
            request.audit_annotations[f"{PREFIX}exempt"] = "runtimeClass"
            return
        found = {standard: violations(standard, meta, spec) for standard in {policy.audit, policy.warn}}
        if found[policy.audit]:
            text = f'would violate PodSecurity "{policy.audit}": {detailed(found[policy.audit])}'
            request.audit_annotations[f"{PREFIX}audit-violations"] = text
        if enforce:
            request.audit_annotations[f"{PREFIX}enforce-policy"] = str(policy.enforce)
            bad = found[policy.enforce] if policy.enforce in found else violations(policy.enforce, meta, spec)
            if bad:
                raise refused(request, f'violates PodSecurity "{policy.enforce}": {detailed(bad)}')
        if found[policy.warn]:
            _warn(request, f'would violate PodSecurity "{policy.warn}": {detailed(found[policy.warn])}')

    def _exemption(self, request: AdmissionRequest) -> str:
        if request.call.namespace in self._exempt.get("namespaces", ()):
            return "namespace"
        return "user" if request.call.user.name in self._exempt.get("usernames", ()) else ""

    async def _namespace(self, request: AdmissionRequest) -> None:
        labels = request.object["metadata"].get("labels") or {}
        before = ((request.old or {}).get("metadata") or {}).get("labels") or {}
        if request.old is not None and labels == before:
            return
        policy, faults = of_labels(labels, self._defaults)
        old, old_faults = of_labels(before, self._defaults) if request.old is not None else (policy, [])
        name = request.call.name
        if faults and (request.old is None or faults != old_faults):
            raise invalid("", "Namespace", name, faults)
        exempt = name in self._exempt.get("namespaces", ())
        if request.old is None:
            if exempt:
                self._warn_exempt(request, policy, labels)
            return
        new = policy.enforce
        relaxed = new.minor == old.enforce.minor and not stricter(new.level, old.enforce.level)
        if new == old.enforce or new.level == "privileged" or relaxed:
            return
        if exempt:
            self._warn_exempt(request, policy, labels)
            return
        for text in await self._violators(name, new):
            _warn(request, text)

    def _warn_exempt(self, request: AdmissionRequest, policy: Policy, labels: Mapping[str, str]) -> None:
        if policy.lax or policy == self._defaults:
            return
        said = [
            f"{mode}={standard}"
            for mode, standard in zip(MODES, (policy.enforce, policy.audit, policy.warn), strict=True)
            if standard.level != "privileged" and {PREFIX + mode, f"{PREFIX}{mode}-version"} & labels.keys()
        ]
        what = f'namespace "{request.call.name}" is exempt from Pod Security'
        _warn(request, f"{what}, and the policy ({', '.join(said)}) will be ignored")

    async def _violators(self, namespace: str, standard: Standard) -> list[str]:
        """What to say of Pods that are there already."""
        pods = await self._registry.list(PODS, namespace)
        names: dict[str, list[str]] = {}
        for pod in pods[:_MOST_PODS]:
            spec = pod.get("spec") or {}
            if spec.get("runtimeClassName") in self._exempt.get("runtimeClasses", ()):
                continue
            found = violations(standard, pod["metadata"], spec)
            if found:
                names.setdefault(brief(found), []).append(pod["metadata"]["name"])
        texts = []
        if len(pods) > _MOST_PODS:
            what = f"the first {_MOST_PODS} of {len(pods)} existing pods"
            texts.append(f"new PodSecurity enforce level only checked against {what}")
        if names:
            what = f'existing pods in namespace "{namespace}"'
            texts.append(f'{what} violate the new PodSecurity enforce level "{standard}"')
        return texts + sorted(f"{_counted(sorted(bad))}: {reason}" for reason, bad in names.items())


def _counted(names: list[str]) -> str:
    others = len(names) - 1
    return names[0] + (f" (and {others} other pod{'s' if others > 1 else ''})" if others else "")


def _warn(request: AdmissionRequest, text: str) -> None:
    if text not in request.call.warnings:
        request.call.warnings.append(text)


def _matters(pod: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether an update of a Pod can make it worse: images and seccomp annotations change, debuggers are added."""
    now, then = annotations(pod), annotations(old)
    if now.get(_SECCOMP_POD) != then.get(_SECCOMP_POD):
        return True
    spec, before = pod.get("spec") or {}, old.get("spec") or {}
    for field in ("containers", "initContainers", "ephemeralContainers"):
        known = {one.get("name"): one for one in before.get(field) or ()}
        if field != "ephemeralContainers" and len(known) != len(spec.get(field) or ()):
            return True
        for one in spec.get(field) or ():
            key = _SECCOMP + one.get("name", "")
            was = known.get(one.get("name"))
            if was is None or was.get("image") != one.get("image") or now.get(key) != then.get(key):
                return True
    return False


def _defaults(given: Mapping[str, Any]) -> Policy:
    """Raises ValueError."""
    found = {}
    for mode in MODES:
        level, version = given.get(mode) or "privileged", given.get(f"{mode}-version") or "latest"
        read, minor = level_of(str(level)), minor_of(str(version))
        if read is None:
            raise ValueError(
                f'defaults.{mode}: Invalid value: "{level}": must be one of privileged, baseline, restricted'
            )
        if minor is None:
            raise ValueError(f'defaults.{mode}-version: Invalid value: "{version}": must be "latest" or "v1.x"')
        found[mode] = Standard(read, minor)
    return Policy(**found)


def _start(registry: Registry, configuration: Object) -> Hooks:
    for kind, names in (configuration.get("exemptions") or {}).items():
        if kind not in ("usernames", "runtimeClasses", "namespaces"):
            raise ValueError(f'unknown field "exemptions.{kind}"')
        for at, name in enumerate(names or ()):
            if not name or not isinstance(name, str) or name in names[:at]:
                raise ValueError(f"exemptions.{kind}[{at}]: empty, or there twice")
    return Hooks(validate=PodSecurity(registry, configuration).validate)


ADMISSION = Admission(
    name="PodSecurity",
    order=120,
    resources=frozenset({"pods", "pods/ephemeralcontainers", "pods/resize", "namespaces", *_TEMPLATES}),
    start=_start,
)
