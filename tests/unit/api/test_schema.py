"""The tables: what the rest of the project relies on finding there."""

from pybernetes.api import facts, schema
from pybernetes.api.objects import GroupVersionKind
from pybernetes.api.types import apps_v1, core_v1, events_v1, rbac_v1

CONTAINER = schema.get("io.k8s.api.core.v1.Container")


def test_fields_stand_in_gos_order() -> None:
    assert list(schema.get("io.k8s.api.core.v1.Pod").fields) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert list(CONTAINER.fields)[:4] == ["name", "image", "command", "args"]


def test_list_keys_of_apply_and_of_strategic_merge_differ_for_ports() -> None:
    ports = CONTAINER.fields["ports"]
    assert (ports.kind, ports.list_type) == ("list", "map")
    assert ports.map_keys == ("containerPort", "protocol")
    assert ports.merge_key == "containerPort"
    assert ports.patch_strategies == ("merge",)
    assert ports.item is not None
    assert ports.item.ref == "io.k8s.api.core.v1.ContainerPort"


def test_keys_of_lists_have_the_defaults_that_apply_needs() -> None:
    assert schema.get("io.k8s.api.core.v1.ContainerPort").fields["protocol"].default == "TCP"
    assert schema.get("io.k8s.api.core.v1.ServicePort").fields["protocol"].default == "TCP"
    assert CONTAINER.fields["name"].default is None


def test_inline_messages_of_the_wire_are_known() -> None:
    volume = schema.get("io.k8s.api.core.v1.Volume")
    assert (volume.fields["emptyDir"].inline, volume.fields["emptyDir"].number) == ((2,), 2)
    rules = schema.get("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations").fields["apiGroups"]
    assert (rules.inline, rules.number) == ((2, 2), 1)


def test_kinds_lead_to_types_and_options_exist_in_every_group() -> None:
    assert schema.type_name(GroupVersionKind("apps", "v1", "Deployment")) == "io.k8s.api.apps.v1.Deployment"
    assert schema.type_name(GroupVersionKind("example.com", "v1", "Widget")) is None
    options = schema.type_name(GroupVersionKind("apps", "v1", "DeleteOptions"))
    assert options == "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


def test_every_reference_leads_to_a_type() -> None:
    seen: set[str] = set()
    todo = [name for gvk in schema.kinds() if (name := schema.type_name(gvk))]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for field in schema.get(name).fields.values():
            inner = field
            while inner.item is not None:
                inner = inner.item
            if inner.kind == "object":
                todo.append(inner.ref)
    assert len(seen) > 550


def test_resources_are_found_by_name_kind_and_struct() -> None:
    pods = facts.resource("", "pods")
    assert pods is not None
    assert (pods.kind, pods.namespaced, pods.short_names) == ("Pod", True, ("po",))
    assert pods.subresources["eviction"].gvk == GroupVersionKind("policy", "v1", "Eviction")
    assert facts.of_struct(core_v1.Pod) is pods
    assert facts.of_kind(GroupVersionKind("", "v1", "Pod")) is pods
    assert facts.of_struct(apps_v1.Deployment).group == "apps"
    assert facts.of_struct(rbac_v1.ClusterRole).group == "rbac.authorization.k8s.io"
    assert facts.of_struct(events_v1.Event).group == "events.k8s.io"
    assert facts.resource("", "widgets") is None


def test_the_preferred_version_comes_first() -> None:
    autoscalers = facts.resource("autoscaling", "horizontalpodautoscalers")
    assert autoscalers is not None
    assert autoscalers.version == "v2"
    older = facts.resource("autoscaling", "horizontalpodautoscalers", "v1")
    assert older is not None
    assert older.storage_version_hash == autoscalers.storage_version_hash


def test_pods_have_upstreams_storage_version_hash() -> None:
    pods = facts.resource("", "pods")
    assert pods is not None
    assert pods.storage_version_hash == "xPOwRZ+Yhw8="
