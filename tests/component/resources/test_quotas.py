"""LimitRanges and ResourceQuotas as objects: defaults and what may be asked."""

LIMITS = "/api/v1/namespaces/default/limitranges"
QUOTAS = "/api/v1/namespaces/default/resourcequotas"


def limits(*items):
    return {"metadata": {"name": "l"}, "spec": {"limits": list(items)}}


def quota(**spec):
    return {"metadata": {"name": "q"}, "spec": spec}


async def test_a_maximum_is_a_limit_and_a_limit_a_request(api):
    item = {
        "type": "Container",
        "max": {"cpu": "2"},
        "min": {"memory": "1Mi", "cpu": "1"},
        "default": {"memory": "4Mi"},
    }
    made = await api.made(LIMITS, limits(item))
    (item,) = made["spec"]["limits"]
    assert item["default"] == {"memory": "4Mi", "cpu": "2"}
    assert item["defaultRequest"] == {"memory": "4Mi", "cpu": "2"}
    assert "generation" not in made["metadata"]


async def test_limits_fit_together(api):
    found = await api.faults(
        "POST",
        LIMITS,
        limits(
            {"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}, "default": {"cpu": "1"}},
            {"type": "Pod", "max": {"storage": "1Gi"}},
            {"type": "Odd"},
            {"type": "PersistentVolumeClaim", "maxLimitRequestRatio": {"storage": "500m"}},
            {
                "type": "Container",
                "min": {"cpu": "100m"},
                "max": {"cpu": "400m"},
                "maxLimitRequestRatio": {"cpu": "5"},
                "default": {"cpu": "500m", "example.com/gpu": "2"},
                "defaultRequest": {"cpu": "50m", "example.com/gpu": "1"},
            },
        ),
    )
    at = "spec.limits[4]"
    assert found == [
        "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
        'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
        'spec.limits[1].type: Duplicate value: "Pod"',
        'spec.limits[1].max[storage]: Invalid value: "storage": must be a standard resource for containers',
        'spec.limits[2].type: Invalid value: "Odd": must be a standard limit type or fully qualified',
        "spec.limits[3].limits: Required value: either minimum or maximum storage value is required, "
        "but neither was provided",
        'spec.limits[3].maxLimitRequestRatio[storage]: Invalid value: "500m": ratio 500m is less than 1',
        f'{at}.defaultRequest[cpu]: Invalid value: "50m": min value 100m is greater than default request value 50m',
        f'{at}.default[cpu]: Invalid value: "400m": default value 500m is greater than max value 400m',
        f'{at}.maxLimitRequestRatio[cpu]: Invalid value: "5": ratio 5 is greater than max/min = 4.000000',
        f'{at}.defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to '
        "defaultRequest value 1 in example.com/gpu",
    ]


async def test_a_limit_range_shows_when_it_was_made(api):
    await api.made(LIMITS, limits())
    (row,) = await api.table(LIMITS)
    assert list(row) == ["Name", "Created At"]


async def test_quotas_count_what_there_is_to_count(api):
    hard = {"pods": "1500m", "cpu": "-1", "odd": "1", "count/odd.example.com": "1", "requests.example.com/gpu": "1"}
    hard |= {"hugepages-2Mi": "1Gi", "services.nodeports": "1"}
    assert await api.faults("POST", QUOTAS, quota(hard=hard)) == [
        'spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        'spec.hard[odd]: Invalid value: "odd": must be a standard resource type or fully qualified',
        'spec.hard[odd]: Invalid value: "odd": must be a standard resource for quota',
        'spec.hard[pods]: Invalid value: "1500m": must be an integer',
    ]


async def test_scopes_fit_what_is_counted_and_each_other(api):
    both = ["Terminating", "NotTerminating"]
    shown = '["Terminating","NotTerminating"]'
    assert await api.faults("POST", QUOTAS, quota(hard={"services": "1"}, scopes=both)) == [
        f"spec.scopes: Invalid value: {shown}: unsupported scope applied to resource",
        f"spec.scopes: Invalid value: {shown}: unsupported scope applied to resource",
        f"spec.scopes: Invalid value: {shown}: conflicting scopes",
    ]
    terms = [
        {"scopeName": "Odd", "operator": "Is"},
        {"scopeName": "BestEffort", "operator": "In", "values": ["a"]},
        {"scopeName": "PriorityClass", "operator": "In"},
        {"scopeName": "PriorityClass", "operator": "Exists", "values": ["a"]},
    ]
    found = await api.faults("POST", QUOTAS, quota(hard={"pods": "1"}, scopeSelector={"matchExpressions": terms}))
    at = "spec.scopeSelector.matchExpressions"
    assert found[:2] == [
        f'{at}.scopeName: Invalid value: "Odd": unsupported scope',
        f'{at}.operator: Invalid value: "Is": not a valid selector operator',
    ]
    assert found[2].startswith(f"{at}.operator: Invalid value: \"In\": must be 'Exists' when scope is any of")
    assert found[3:] == [
        f"{at}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        f"{at}.values: Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope "
        "selector",
    ]


async def test_classes_of_volumes_choose_claims(api):
    terms = [{"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}]
    chosen = {"scopeSelector": {"matchExpressions": terms}}
    hard = {"requests.storage": "5Gi", "persistentvolumeclaims": "1"}
    await api.made(QUOTAS, quota(hard=hard, **chosen))
    (fault,) = await api.faults("POST", QUOTAS, quota(hard={**hard, "pods": "1"}, **chosen))
    assert fault.startswith("spec.scopeSelector.matchExpressions: Invalid value: ")
    assert fault.endswith(": unsupported scope applied to resource")


async def test_scopes_stay_and_status_is_a_part_of_its_own(api):
    made = await api.made(QUOTAS, {**quota(hard={"pods": "2", "limits.cpu": "1"}), "status": {"hard": {"pods": "9"}}})
    assert made["status"] == {}
    (fault,) = await api.faults(
        "PATCH", f"{QUOTAS}/q", {"spec": {"scopes": ["BestEffort"], "hard": {"limits.cpu": None}}}
    )
    assert fault == 'spec.scopes: Invalid value: ["BestEffort"]: field is immutable'
    status = {"hard": {"pods": "2", "limits.cpu": "1"}, "used": {"pods": "1"}}
    code, _ = await api("PATCH", f"{QUOTAS}/q/status", {"status": status})
    assert code == 200
    (row,) = await api.table(QUOTAS)
    age = row.pop("Age")
    assert age.endswith("s")
    assert row == {"Name": "q", "Request": "pods: 1/2", "Limit": "limits.cpu: 0/1"}
    assert await api.faults("PATCH", f"{QUOTAS}/q/status", {"status": {"used": {"pods": "-1"}}}) == [
        'status.used[pods]: Invalid value: "-1": must be greater than or equal to 0'
    ]
