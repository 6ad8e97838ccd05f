"""The condition Dangling: what it says, and that nothing is written where it says so already."""

import pytest

from pybernetes.aio.simulation import EPOCH
from pybernetes.apiserver.flowcontrol.dangling import told

SCHEMA = {"metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "p"}}}
OTHER = {"type": "Other", "status": "True"}


@pytest.mark.parametrize(
    ("known", "status", "reason", "said"),
    [(True, "False", "Found", "and it exists"), (False, "True", "NotFound", "but there is no such object")],
)
def test_it_says_whether_the_level_is_there(known, status, reason, said):
    found = told(SCHEMA, known=known, now=EPOCH)
    assert found["status"]["conditions"] == [
        {
            "type": "Dangling",
            "status": status,
            "reason": reason,
            "message": f'This FlowSchema references the PriorityLevelConfiguration object named "p" {said}',
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]
    assert told(found, known=known, now=EPOCH + 5) is None
    assert told(found, known=not known, now=EPOCH + 5) is not None
    assert "status" not in SCHEMA


def test_other_conditions_stay():
    dangling = told(SCHEMA, known=False, now=EPOCH)["status"]["conditions"]
    stored = {**SCHEMA, "status": {"conditions": [OTHER, *dangling, OTHER]}}
    kinds = [one["type"] for one in told(stored, known=True, now=EPOCH)["status"]["conditions"]]
    assert kinds == ["Other", "Dangling", "Other"]
