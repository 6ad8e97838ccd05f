"""Flow schemas and priority levels as objects: upstream's test/e2e/apimachinery/flowcontrol.go."""

import pytest
from tests.component.api import serving
from tests.examples_of_kinds import example

from pybernetes.apiserver.config import InFlight

GROUP = "flowcontrol.apiserver.k8s.io"
ROOT = f"/apis/{GROUP}/v1"


@pytest.fixture
async def alone(api):
    """A server that does not write the status of flow schemas itself: what is written here can be compared."""
    async with serving(type(api), in_flight=InFlight(fair=False)) as made:
        yield made


async def status_is_written_apart(api, resources, body):
    found = {row["name"] for row in (await api.ok("GET", ROOT))["resources"]}
    plural = resources.rpartition("/")[2]
    assert {plural, f"{plural}/status"} <= found
    await api.ok("POST", resources, body)
    one = f"{resources}/{body['metadata']['name']}/status"
    assert (await api.ok("GET", one))["status"] == {}
    conditions = [{"type": "Tested", "status": "True", "reason": "Patched"}]
    patched = await api.ok("PATCH", one, {"status": {"conditions": conditions}})
    assert [c["reason"] for c in patched["status"]["conditions"]] == ["Patched"]
    patched["status"]["conditions"][0]["reason"] = "Updated"
    updated = await api.ok("PUT", one, patched)
    assert [c["reason"] for c in updated["status"]["conditions"]] == ["Updated"]


@pytest.mark.conformance(
    "[sig-api-machinery] API priority and fairness should support FlowSchema API operations [Conformance]"
)
async def test_flow_schemas_support_all_verbs(alone):
    body = example(GROUP, "v1", "flowschemas")
    await alone.cycle(f"{ROOT}/flowschemas", body)
    await status_is_written_apart(alone, f"{ROOT}/flowschemas", body)


@pytest.mark.conformance(
    "[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations [Conformance]"
)
async def test_priority_levels_support_all_verbs(api):
    body = example(GROUP, "v1", "prioritylevelconfigurations")
    await api.cycle(f"{ROOT}/prioritylevelconfigurations", body)
    await status_is_written_apart(api, f"{ROOT}/prioritylevelconfigurations", body)
