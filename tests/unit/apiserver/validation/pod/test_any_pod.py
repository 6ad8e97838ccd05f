"""Whatever a canonical Pod says, the rules answer with faults and never raise."""

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.api import schema
from pybernetes.api.canonical import canonicalize
from pybernetes.api.errors import FieldError
from pybernetes.apiserver.catalog import built
from pybernetes.apiserver.resources.core.pods import RESOURCE
from pybernetes.apiserver.tables import row_of
from pybernetes.apiserver.validation.pod.warnings import warn_template

POD = "io.k8s.api.core.v1.Pod"
TEXTS = (
    "",
    "a",
    "A b",
    "..",
    "/",
    "/a/../b",
    "x" * 300,
    "Never",
    "Always",
    "Localhost",
    "localhost/",
    "%",
    "ä",
    "1.2.3.4",
)
NUMBERS = (0, 1, -1, 70000, 2**31 - 1, -(2**31))
AMOUNTS = ("0", "1", "-1", "1m", "100Mi", "9E", "1500m")
NAMES = ("cpu", "memory", "hugepages-2Mi", "hugepages-x", "example.com/gpu", "requests.x/y", "a b", "kubernetes.io/x")
BARE: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
DEPTH = 6


def value(draw: Any, field: Any, depth: int) -> Any:
    """Something of the field's type."""
    if depth > DEPTH:
        return None
    if field.kind == "list":
        return [held for _ in range(draw(st.integers(0, 2))) if (held := value(draw, field.item, depth)) is not None]
    if field.kind == "map":
        keys = NAMES if field.item.kind == "quantity" else TEXTS
        return {draw(st.sampled_from(keys)): value(draw, field.item, depth) for _ in range(draw(st.integers(0, 2)))}
    if field.ref:
        return body(draw, field.ref, depth + 1)
    choices = {
        "string": TEXTS,
        "quantity": AMOUNTS,
        "int32": NUMBERS,
        "int64": NUMBERS,
        "bool": (True, False),
        "intorstring": (*NUMBERS, *TEXTS),
    }
    return draw(st.sampled_from(choices[field.kind])) if field.kind in choices else None


def body(draw: Any, name: str, depth: int = 0) -> dict[str, Any]:
    fields = schema.get(name).fields
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True)) if fields else []
    made = {field: value(draw, fields[field], depth) for field in chosen}
    return {field: held for field, held in made.items() if held is not None}


@st.composite
def pods(draw: Any) -> dict[str, Any]:
    """A plain Pod with parts replaced by anything."""
    pod = copy.deepcopy(BARE)
    for part, name in (("spec", "PodSpec"), ("status", "PodStatus")):
        pod[part] = {**pod.get(part, {}), **body(draw, f"io.k8s.api.core.v1.{name}")}
    pod["spec"].setdefault("containers", [])
    if pod["spec"]["containers"] and draw(st.booleans()):
        pod["spec"]["containers"][0].update(body(draw, "io.k8s.api.core.v1.Container"))
    pod["metadata"]["annotations"] = {
        key: draw(st.sampled_from(TEXTS))
        for key in draw(
            st.lists(
                st.sampled_from(
                    (
                        "kubernetes.io/config.mirror",
                        "scheduler.alpha.kubernetes.io/tolerations",
                        "controller.kubernetes.io/pod-deletion-cost",
                        "container.apparmor.security.beta.kubernetes.io/c",
                        "seccomp.security.alpha.kubernetes.io/pod",
                    )
                ),
                max_size=2,
                unique=True,
            )
        )
    }
    return canonicalize(pod, POD).object


def settled(pod: dict[str, Any]) -> dict[str, Any]:
    RESOURCE.default(pod)
    return pod


@given(pods(), pods())
@settings(max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))
def test_rules_never_raise(new: dict[str, Any], old: dict[str, Any]) -> None:
    settled(new), settled(old)
    stored = copy.deepcopy(old)
    RESOURCE.prepare(new, None)
    found: list[object] = [*RESOURCE.validate(new), *RESOURCE.validate_update(new, old)]
    for own in RESOURCE.subresources.values():
        if own.part is not None:
            written = copy.deepcopy(new)
            own.part.prepare(written, old)
            found += own.part.validate(written, old)
    written = {**old, "metadata": dict(new["metadata"]), "status": copy.deepcopy(new.get("status") or {})}
    RESOURCE.prepare_status(written, old)
    found += RESOURCE.validate_status(written, old)
    assert all(isinstance(fault, FieldError) for fault in found)
    assert all(isinstance(text, str) for text in [*RESOURCE.warn(new, None), *warn_template(new, "spec.template")])
    assert old == stored, "what is stored stays as it was"
    row_of(built(RESOURCE)[0], new)
