"""PodDisruptionBudget: what may be asked, its status, its table."""

BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
SELECTOR = {"matchLabels": {"app": "web"}}


def budget(**spec):
    return {"metadata": {"name": "web"}, "spec": {"selector": SELECTOR, **spec}}


async def test_a_budget_is_checked_as_a_whole(api):
    bad = budget(minAvailable="200%", maxUnavailable=-1, unhealthyPodEvictionPolicy="Never")
    shown = (
        '{"MinAvailable":"200%","Selector":{"matchLabels":{"app":"web"}},"MaxUnavailable":-1,'
        '"UnhealthyPodEvictionPolicy":"Never"}'
    )
    assert await api.faults("POST", BUDGETS, bad) == [
        f"spec: Invalid value: {shown}: minAvailable and maxUnavailable cannot be both set",
        'spec.minAvailable: Invalid value: "200%": must not be greater than 100%',
        "spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0",
        'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", "IfHealthyBudget"',
    ]
    odd = budget(selector={"matchExpressions": [{"key": "a", "operator": "In"}]})
    assert await api.faults("POST", BUDGETS, odd) == [
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
    ]


async def test_a_budget_may_change_as_a_whole(api):
    made = await api.made(BUDGETS, budget(minAvailable=1))
    assert made["status"] == {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    change = {"minAvailable": None, "maxUnavailable": "50%", "selector": {"matchLabels": {"app": "db"}}}
    code, changed = await api("PATCH", f"{BUDGETS}/web", {"spec": change})
    assert (code, changed["metadata"]["generation"]) == (200, 2)
    assert changed["spec"] == {"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "db"}}}


async def test_a_budget_has_any_name_that_fits_into_a_path(api):
    await api.made(BUDGETS, {"metadata": {"name": "My_Budget"}, "spec": {}})
    assert await api.faults("POST", BUDGETS, {"metadata": {"name": "a%b"}}) == [
        "metadata.name: Invalid value: \"a%b\": may not contain '%'"
    ]


async def test_a_budget_is_updated_with_its_version_only(api):
    made = await api.made(BUDGETS, budget(minAvailable=1))
    made["metadata"].pop("resourceVersion")
    assert await api.faults("PUT", f"{BUDGETS}/web", made) == [
        "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    ]


async def test_the_status_of_a_budget_must_make_sense(api):
    await api.made(BUDGETS, budget(minAvailable=1))
    counts = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    bad = {**dict.fromkeys(counts, -1), "conditions": [{"type": "Ready", "status": "Maybe"}]}
    assert await api.faults("PATCH", f"{BUDGETS}/web/status", {"status": bad}) == [
        'status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
        "status.conditions[0].lastTransitionTime: Required value",
        "status.conditions[0].reason: Required value",
        *(f"status.{field}: Invalid value: -1: must be greater than or equal to 0" for field in counts),
    ]


async def test_the_table_of_budgets_is_kubectls(api):
    await api.made(BUDGETS, budget(maxUnavailable="30%"))
    (row,) = await api.table(BUDGETS)
    assert list(row) == ["Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"]
    assert list(row.values())[:4] == ["web", "N/A", "30%", 0]
