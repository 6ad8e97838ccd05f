"""Who decides about the specs of flow schemas and levels that every cluster has: the server's version or an operator."""

import pytest

from pybernetes.apiserver.flowcontrol.objects import AUTOUPDATE, revised

WANTED = {"matchingPrecedence": 1}
OTHER = {"matchingPrecedence": 2}


def stored(spec, said=None, generation=1):
    annotations = {} if said is None else {AUTOUPDATE: said}
    return {"metadata": {"name": "s", "generation": generation, "annotations": annotations}, "spec": spec}


@pytest.mark.parametrize(
    ("current", "always", "spec", "said"),
    [
        (stored(OTHER, "true", 5), False, WANTED, "true"),
        (stored(OTHER, "false"), False, None, None),
        (stored(OTHER, None, 1), False, WANTED, "true"),
        (stored(OTHER, None, 2), False, OTHER, "false"),
        (stored(OTHER, "perhaps", 2), False, OTHER, "false"),
        (stored(WANTED, "true"), False, None, None),
        (stored(WANTED, None, 1), False, WANTED, "true"),
        (stored(OTHER, "false", 3), True, WANTED, "true"),
        (stored(WANTED, "false"), True, WANTED, "true"),
        (stored(WANTED, "T"), True, None, None),
    ],
)
def test_the_annotation_decides_and_else_whether_anybody_changed_it(current, always, spec, said):
    found = revised(current, WANTED, always=always)
    if spec is None:
        assert found is None
        return
    assert (found["spec"], found["metadata"]["annotations"][AUTOUPDATE]) == (spec, said)
    changed = spec != current["spec"]
    assert found["metadata"]["generation"] == current["metadata"]["generation"] + changed


def test_what_the_exempt_level_lends_is_left_alone():
    wanted = {"type": "Exempt", "exempt": {"lendablePercent": 0}}
    current = stored({"type": "Limited", "exempt": {"lendablePercent": 50}}, "true")
    assert revised(current, wanted, always=True)["spec"] == {"type": "Exempt", "exempt": {"lendablePercent": 50}}
