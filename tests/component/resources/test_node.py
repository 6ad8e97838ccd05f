"""node.k8s.io: RuntimeClass."""

from tests.examples_of_kinds import example

CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"


def runtime_class(**fields):
    return {**example("node.k8s.io", "v1", "runtimeclasses"), **fields}


async def test_a_runtime_class_is_told_all_its_faults(api):
    scheduling = {"nodeSelector": {"a": " "}, "tolerations": [{"operator": "Equal"}]}
    bad = runtime_class(handler="A", overhead={"podFixed": {"cpu": "-1"}}, scheduling=scheduling)
    found = await api.faults("POST", CLASSES, bad)
    assert [fault.partition(": Invalid value")[0] for fault in found] == [
        "handler",
        "overhead.limits[cpu]",
        "scheduling.nodeSelector",
        "scheduling.tolerations[0].operator",
    ]


async def test_the_handler_of_a_runtime_class_stays(api):
    made = await api.made(CLASSES, runtime_class())
    assert "generation" not in made["metadata"]
    changed = {**made, "handler": "other"}
    assert await api.faults("PUT", f"{CLASSES}/example", changed) == [
        'handler: Invalid value: "other": field is immutable'
    ]
    (row,) = await api.table(CLASSES)
    assert (list(row), row["Handler"]) == (["Name", "Handler", "Age"], "sandbox")


async def test_old_labels_of_nodes_are_warned_of(api):
    scheduling = {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}
    assert await api.warnings("POST", CLASSES, runtime_class(scheduling=scheduling)) == [
        'scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead'
    ]


async def test_an_update_may_make_a_class_and_else_needs_its_version(api):
    code, made = await api("PUT", f"{CLASSES}/example", runtime_class())
    assert code == 201
    del made["metadata"]["resourceVersion"]
    assert (await api("PUT", f"{CLASSES}/example", made))[0] == 422
