"""The file of --admission-control-config-file (AdmissionConfiguration): what each plugin is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.wire.codecs import yaml

_KINDS = {"apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1", "apiserver.k8s.io/v1alpha1"}
_PLUGINS = {
    "PodSecurity": ("PodSecurityConfiguration", "pod-security.admission.config.k8s.io/", {"defaults", "exemptions"}),
    "EventRateLimit": ("Configuration", "eventratelimit.admission.k8s.io/", {"limits"}),
    "ResourceQuota": ("ResourceQuotaConfiguration", "apiserver.config.k8s.io/", {"limitedResources"}),
    "PodTolerationRestriction": (
        "Configuration",
        "podtolerationrestriction.admission.k8s.io/",
        {"default", "whitelist"},
    ),
}
"""Kind, group, and the fields that there are; what is misspelt must not be silently without effect."""


def read_configuration(path: Path) -> Mapping[str, Object]:
    """By plugin. Raises OSError, ValueError."""
    found = _document(path)
    version, kind = found.get("apiVersion"), found.get("kind")
    if kind != "AdmissionConfiguration" or version not in _KINDS:
        raise ValueError(f"{path}: no AdmissionConfiguration of apiserver.config.k8s.io/v1, but {kind} of {version}")
    given: dict[str, Object] = {}
    for at, plugin in enumerate(found.get("plugins") or ()):
        name = plugin.get("name") if isinstance(plugin, dict) else None
        if not name or not isinstance(name, str):
            raise ValueError(f"{path}: plugins[{at}].name: Required value")
        given[name] = _checked(name, _of_plugin(path, plugin))
    return given


def _of_plugin(path: Path, plugin: Mapping[str, Any]) -> Object:
    if plugin.get("configuration") is not None:
        found = plugin["configuration"]
        if not isinstance(found, dict):
            raise ValueError(f"{path}: configuration of {plugin['name']}: not an object")
        return found
    return _document(path.parent / plugin["path"]) if plugin.get("path") else {}


def _checked(name: str, found: Object) -> Object:
    """Raises ValueError for another kind and for fields that there are not."""
    if name not in _PLUGINS or not found:
        return found
    kind, group, fields = _PLUGINS[name]
    if found.get("kind") != kind or not str(found.get("apiVersion")).startswith(group):
        wrong = f"{found.get('kind')} of {found.get('apiVersion')}"
        raise ValueError(f"configuration of {name}: no {kind} of {group.rstrip('/')}, but {wrong}")
    unknown = sorted(found.keys() - fields - {"kind", "apiVersion", "metadata"})
    if unknown:
        raise ValueError(f'configuration of {name}: unknown field "{unknown[0]}"')
    return found


def _document(path: Path) -> Object:
    found = yaml.load(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"{path}: not an object")
    return found
