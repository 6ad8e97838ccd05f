"""Strategic merge patch: what upstream's tests are about, in cases of our own; and the patch of `kubectl apply`."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.api.errors import BadRequest, Invalid
from pybernetes.rules.patch.strategic import apply, three_way

POD = "io.k8s.api.core.v1.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
SERVICE = "io.k8s.api.core.v1.Service"

CASES = """
containers are merged by name and take the patch's order:
  document: {spec: {containers: [{name: a, image: one}, {name: b, image: two}]}}
  patch: {spec: {containers: [{name: c, image: three}, {name: a, image: new}]}}
  wanted: {spec: {containers: [{name: c, image: three}, {name: a, image: new}, {name: b, image: two}]}}
a new container comes first when the patch names it alone:
  document: {spec: {containers: [{name: a}]}}
  patch: {spec: {containers: [{name: new}]}}
  wanted: {spec: {containers: [{name: new}, {name: a}]}}
an item that only the server knows stays before what it preceded:
  document: {spec: {containers: [{name: server}, {name: a}]}}
  patch: {spec: {containers: [{name: a, image: x}, {name: new}]}}
  wanted: {spec: {containers: [{name: server}, {name: a, image: x}, {name: new}]}}
an item is deleted by its key:
  document: {spec: {containers: [{name: a}, {name: b}]}}
  patch: {spec: {containers: [{name: a, $patch: delete}]}}
  wanted: {spec: {containers: [{name: b}]}}
a keyed list is replaced on demand:
  document: {spec: {containers: [{name: a}, {name: b}]}}
  patch: {spec: {containers: [{$patch: replace}, {name: c}]}}
  wanted: {spec: {containers: [{name: c}]}}
a map is replaced on demand:
  document: {metadata: {labels: {a: '1', b: '2'}}}
  patch: {metadata: {labels: {$patch: replace, c: '3'}}}
  wanted: {metadata: {labels: {c: '3'}}}
a map is deleted on demand:
  document: {metadata: {labels: {a: '1'}}}
  patch: {metadata: {labels: {$patch: delete}}}
  wanted: {metadata: {labels: {}}}
null deletes a field and is nothing in a new one:
  document: {metadata: {labels: {a: '1', b: '2'}}}
  patch: {metadata: {labels: {a: null}, annotations: {x: '1', y: null}}}
  wanted: {metadata: {labels: {b: '2'}, annotations: {x: '1'}}}
an atomic list is replaced:
  document: {spec: {containers: [{name: a, args: [one, two]}]}}
  patch: {spec: {containers: [{name: a, args: [three]}]}}
  wanted: {spec: {containers: [{name: a, args: [three]}]}}
tolerations have no merge key and are replaced:
  document: {spec: {tolerations: [{key: a}]}}
  patch: {spec: {tolerations: [{key: b}]}}
  wanted: {spec: {tolerations: [{key: b}]}}
scalars of a merged list are a set:
  document: {metadata: {finalizers: [a, b]}}
  patch: {metadata: {finalizers: [c, b]}}
  wanted: {metadata: {finalizers: [c, a, b]}}
scalars are deleted from a list:
  document: {metadata: {finalizers: [a, b, c]}}
  patch: {metadata: {$deleteFromPrimitiveList/finalizers: [b]}}
  wanted: {metadata: {finalizers: [a, c]}}
scalars are deleted and ordered:
  document: {metadata: {finalizers: [a, b, c]}}
  patch: {metadata: {$deleteFromPrimitiveList/finalizers: [b], $setElementOrder/finalizers: [d, c, a], finalizers: [d]}}
  wanted: {metadata: {finalizers: [d, c, a]}}
an order directive orders what is there:
  document: {spec: {containers: [{name: a}, {name: b}, {name: c}]}}
  patch: {spec: {$setElementOrder/containers: [{name: c}, {name: a}]}}
  wanted: {spec: {containers: [{name: b}, {name: c}, {name: a}]}}
an order directive goes with changes:
  document: {spec: {containers: [{name: a, image: x}, {name: b}]}}
  patch: {spec: {$setElementOrder/containers: [{name: b}, {name: a}], containers: [{name: a, image: y}]}}
  wanted: {spec: {containers: [{name: b}, {name: a, image: y}]}}
retained keys leave nothing else:
  document: {spec: {volumes: [{name: v, emptyDir: {}}]}}
  patch: {spec: {volumes: [{name: v, hostPath: {path: /x}, $retainKeys: [name, hostPath]}]}}
  wanted: {spec: {volumes: [{name: v, hostPath: {path: /x}}]}}
environment is merged inside a container:
  document: {spec: {containers: [{name: a, env: [{name: X, value: '1'}, {name: Y, value: '2'}]}]}}
  patch: {spec: {containers: [{name: a, env: [{name: Y, value: '3'}]}]}}
  wanted: {spec: {containers: [{name: a, env: [{name: X, value: '1'}, {name: Y, value: '3'}]}]}}
conditions are merged by type:
  document: {status: {conditions: [{type: Ready, status: 'True'}, {type: Other, status: 'True'}]}}
  patch: {status: {conditions: [{type: Ready, status: 'False'}]}}
  wanted: {status: {conditions: [{type: Ready, status: 'False'}, {type: Other, status: 'True'}]}}
a value of another type is replaced:
  document: {spec: {x: [1]}}
  patch: {spec: {x: {a: 1}}}
  wanted: {spec: {x: {a: 1}}}
"""


@pytest.mark.parametrize("claim", list(yaml.safe_load(CASES)))
def test_strategic(claim: str) -> None:
    case = yaml.safe_load(CASES)[claim]
    before = repr(case["document"])
    assert apply(case["document"], case["patch"], POD) == case["wanted"]
    assert repr(case["document"]) == before


@pytest.mark.parametrize(
    ("patch", "error", "text"),
    [
        ({"$patch": "spell"}, BadRequest, "unknown patch type: spell in map"),
        ({"spec": {"containers": [{"$patch": "spell"}]}}, BadRequest, "unknown patch type: spell"),
        ({"spec": {"containers": [{"image": "x"}]}}, BadRequest, "does not contain declared merge key: name"),
        ({"spec": {"containers": [{"$patch": "delete"}]}}, BadRequest, "does not contain declared merge key: name"),
        ({"spec": {"containers": ["x"]}}, Invalid, "the server rejected"),
        ({"spec": {"containers": [[]]}}, Invalid, "the server rejected"),
        ({"spec": {"$retainKeys": "x"}}, BadRequest, "invalid patch format of retainKeys"),
        ({"spec": {"$retainKeys": ["a"], "hostname": "x"}}, BadRequest, "invalid patch format of retainKeys"),
        ({"spec": {"$setElementOrder/containers": {}}}, BadRequest, "setElementOrder"),
        ({"spec": {"$deleteFromPrimitiveList/x": 1}}, BadRequest, "invalid patch format of primitive list"),
        (
            {"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}},
            Invalid,
            "the server rejected",
        ),
        ([], BadRequest, "error decoding patch"),
    ],
)
def test_a_patch_that_makes_no_sense_is_refused(patch: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        apply({"spec": {"containers": [{"name": "a"}]}}, patch, POD)


def test_apply_changes_only_what_the_user_owns() -> None:
    last = {
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "v1"}, {"name": "b"}]}}}
    }
    wanted = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "v2"}]}}}}
    injected = {"name": "sidecar", "image": "x"}
    server_a = {"name": "a", "image": "v1", "imagePullPolicy": "Always"}
    current = {
        "spec": {
            "replicas": 5,
            "paused": True,
            "template": {"spec": {"dnsPolicy": "x", "containers": [injected, server_a, {"name": "b"}]}},
        }
    }
    patch = three_way(last, wanted, current, DEPLOYMENT)
    assert patch == {
        "spec": {
            "replicas": None,
            "template": {
                "spec": {
                    "containers": [{"name": "a", "image": "v2"}, {"$patch": "delete", "name": "b"}],
                    "$setElementOrder/containers": [{"name": "a"}],
                }
            },
        }
    }
    assert apply(current, patch, DEPLOYMENT) == {
        "spec": {
            "paused": True,
            "template": {"spec": {"dnsPolicy": "x", "containers": [injected, {**server_a, "image": "v2"}]}},
        }
    }


def test_apply_of_another_strategy_retains_its_keys_alone() -> None:
    last = {"spec": {"strategy": {"type": "RollingUpdate"}}}
    wanted = {"spec": {"strategy": {"type": "Recreate"}}}
    current = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = three_way(last, wanted, current, DEPLOYMENT)
    assert patch == {"spec": {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}}
    assert apply(current, patch, DEPLOYMENT) == wanted


def test_apply_of_what_is_there_changes_nothing() -> None:
    wanted = {"spec": {"ports": [{"port": 80, "name": "http"}], "selector": {"a": "b"}}}
    current = {"spec": {"clusterIP": "10.0.0.1", **wanted["spec"]}}
    assert three_way(wanted, wanted, current, SERVICE) == {}


NAMES = st.sampled_from("abcd")
ITEMS = st.lists(NAMES, unique=True, max_size=4).flatmap(
    lambda names: st.tuples(
        *(
            st.fixed_dictionaries(
                {"name": st.just(name)}, optional={"image": st.sampled_from("xy"), "tty": st.booleans()}
            )
            for name in names
        )
    ).map(list)
)
PODS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(NAMES, NAMES, max_size=3),
                "finalizers": st.lists(NAMES, unique=True, max_size=3),
            },
        ),
        "spec": st.fixed_dictionaries({}, optional={"containers": ITEMS, "hostname": NAMES}),
    },
)


def contains(outer: Any, inner: Any) -> bool:
    """Every field of inner is in outer; keyed and set lists hold at least inner's items, in inner's order."""
    if isinstance(inner, dict):
        return all(key in outer and contains(outer[key], value) for key, value in inner.items())
    if not isinstance(inner, list):
        return bool(outer == inner)
    names = [item.get("name") if isinstance(item, dict) else item for item in outer]
    wanted = [item.get("name") if isinstance(item, dict) else item for item in inner]
    in_order = [name for name in names if name in wanted] == wanted
    return in_order and all(contains(outer[names.index(name)], item) for name, item in zip(wanted, inner, strict=True))


@settings(max_examples=200)
@given(original=PODS, modified=PODS, current=PODS)
def test_apply_gives_what_is_wanted_and_settles(original: Any, modified: Any, current: Any) -> None:
    result = apply(current, three_way(original, modified, current, POD), POD)
    assert contains(result, modified)
    assert three_way(modified, modified, result, POD) == {}


@pytest.mark.parametrize("case", yaml.safe_load(CASES).values(), ids=list(yaml.safe_load(CASES)))
def test_neither_the_document_nor_the_patch_is_changed(case: dict[str, Any]) -> None:
    before = repr((case["document"], case["patch"]))
    apply(case["document"], case["patch"], case.get("type", POD))
    assert repr((case["document"], case["patch"])) == before
