"""PodDisruptionBudgets: the parts of upstream's test/e2e/apps/disruption.go that need no Pods."""

import pytest

BUDGETS = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"
MINE = BUDGETS.format("default")
STRATEGIC = "application/strategic-merge-patch+json"


def budget(name="foo", **labels):
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"foo": "bar"}}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@pytest.mark.conformance(
    "[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a"
    " collection of PodDisruptionBudgets [Conformance]"
)
async def test_budgets_of_all_namespaces_are_listed_and_those_of_one_deleted(api):
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    for namespace, name in (("default", "foo"), ("default", "foo2"), ("other", "foo3")):
        await api.ok("POST", BUDGETS.format(namespace), budget(name, special="yes"))
    everywhere = await api.ok("GET", "/apis/policy/v1/poddisruptionbudgets?labelSelector=special%3Dyes")
    assert sorted(item["metadata"]["name"] for item in everywhere["items"]) == ["foo", "foo2", "foo3"]
    await api.ok("DELETE", f"{MINE}?labelSelector=special%3Dyes")
    assert (await api.ok("GET", MINE))["items"] == []
    assert len((await api.ok("GET", BUDGETS.format("other")))["items"]) == 1


@pytest.mark.conformance("[sig-apps] DisruptionController should create a PodDisruptionBudget [Conformance]")
async def test_a_budget_is_made_changed_and_deleted(api):
    made = await api.ok("POST", MINE, budget())
    made["spec"]["minAvailable"] = "2%"
    assert (await api.ok("PUT", f"{MINE}/foo", made))["spec"]["minAvailable"] == "2%"
    patched = await api.ok("PATCH", f"{MINE}/foo", {"spec": {"minAvailable": "3%"}}, content_type=STRATEGIC)
    assert patched["spec"]["minAvailable"] == "3%"
    await api.ok("DELETE", f"{MINE}/foo")
    assert (await api("GET", f"{MINE}/foo"))[0] == 404


@pytest.mark.conformance("[sig-apps] DisruptionController should update/patch PodDisruptionBudget status [Conformance]")
async def test_the_status_of_a_budget_is_its_own(api):
    await api.ok("POST", MINE, budget())
    shown = await api.ok("GET", f"{MINE}/foo/status")
    shown["status"]["disruptedPods"] = {"p": "2026-01-01T00:00:00Z"}
    updated = await api.ok("PUT", f"{MINE}/foo/status", shown)
    assert updated["status"]["disruptedPods"] == {"p": "2026-01-01T00:00:00Z"}
    patch = {"metadata": {"resourceVersion": updated["metadata"]["resourceVersion"]}, "status": {"disruptedPods": None}}
    patched = await api.ok("PATCH", f"{MINE}/foo/status", patch)
    assert "disruptedPods" not in patched["status"]


async def test_budgets_have_every_verb(api):
    await api.cycle(MINE, budget(), status={"disruptionsAllowed": 1})
