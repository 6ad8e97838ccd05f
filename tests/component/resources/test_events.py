"""Events: one stored object, core/v1 and events.k8s.io/v1."""

CORE = "/api/v1/namespaces/default/events"
NEW = "/apis/events.k8s.io/v1/namespaces/default/events"
TIME = "2026-01-31T08:00:00.000000Z"


def core(name="e", **more):
    about = {"kind": "Pod", "namespace": "default", "name": "web", "fieldPath": "spec.containers{web}"}
    return {"metadata": {"name": name}, "involvedObject": about, "reason": "Started", "type": "Normal", **more}


def new(name="n", **more):
    return {
        "metadata": {"name": name},
        "regarding": {"kind": "Pod", "namespace": "default", "name": "web"},
        "note": "it runs",
        "reason": "Started",
        "type": "Normal",
        "action": "Start",
        "eventTime": TIME,
        "reportingController": "example.com/c",
        "reportingInstance": "c-1",
        **more,
    }


async def test_both_groups_show_the_same_object(api):
    made = await api.made(CORE, core(message="it runs", source={"component": "kubelet", "host": "n1"}, count=3))
    _, seen = await api("GET", f"{NEW}/e")
    assert (seen["kind"], seen["apiVersion"]) == ("Event", "events.k8s.io/v1")
    assert (seen["note"], seen["deprecatedCount"], seen["deprecatedSource"]["host"]) == ("it runs", 3, "n1")
    assert seen["regarding"] == made["involvedObject"]
    assert seen["metadata"]["uid"] == made["metadata"]["uid"]
    await api.made(NEW, new())
    _, back = await api("GET", f"{CORE}/n")
    assert (back["message"], back["reportingComponent"], back["eventTime"]) == ("it runs", "example.com/c", TIME)
    assert not {"note", "regarding", "reportingController"} & set(back)


async def test_updates_and_patches_come_both_ways(api):
    await api.made(NEW, new())
    series = {"count": 2, "lastObservedTime": TIME}
    code, patched = await api("PATCH", f"{NEW}/n", {"series": series})
    assert (code, patched["series"]) == (200, series)
    code, patched = await api("PATCH", f"{CORE}/n", {"message": "changed"})
    assert (code, patched["message"]) == (200, "changed")
    _, seen = await api("GET", f"{NEW}/n")
    assert (seen["note"], seen["series"]) == ("changed", series)
    seen["series"]["count"] = 5
    code, updated = await api("PUT", f"{NEW}/n", seen)
    assert (code, updated["series"]["count"]) == (200, 5)


async def test_the_newer_group_alone_is_strict_about_new_events(api):
    bad = new(type="Odd", deprecatedCount=1, deprecatedSource={"component": "x"}, series={"count": 1})
    del bad["eventTime"]
    assert await api.faults("POST", NEW, bad) == [
        'series.count: Invalid value: "": should be at least 2',
        "series.lastObservedTime: Required value",
        "eventTime: Required value",
        'type: Invalid value: "": has invalid value: Odd',
        'count: Invalid value: "": needs to be unset',
        'source: Invalid value: "": needs to be unset',
    ]
    await api.made(CORE, core(type="Odd", count=1))


async def test_the_newer_group_moves_only_the_series_on(api):
    await api.made(NEW, new())
    faults = await api.faults("PATCH", f"{NEW}/n", {"note": "b", "type": "Warning", "reportingController": "d"})
    assert faults == [
        'message: Invalid value: "b": field is immutable',
        'type: Invalid value: "Warning": field is immutable',
        'reportingController: Invalid value: "d": field is immutable',
    ]
    code, _ = await api("PATCH", f"{CORE}/n", {"message": "b"})
    assert code == 200


async def test_an_event_that_core_made_is_updated_by_the_newer_group(api):
    await api.made(CORE, core())
    series = {"count": 2, "lastObservedTime": TIME}
    code, patched = await api("PATCH", f"{NEW}/e", {"series": series})
    assert (code, patched["series"]) == (200, series)


async def test_an_event_lives_where_its_object_does(api):
    body = core()
    body["involvedObject"]["namespace"] = "other"
    (fault,) = await api.faults("POST", CORE, body)
    assert fault == 'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    del body["involvedObject"]["namespace"]
    await api.made(CORE, body)


async def test_an_event_with_a_time_says_who_reports_it(api):
    found = await api.faults("POST", CORE, core(eventTime=TIME, reason="", action="a" * 129, message="m" * 1025))
    assert found[0] == "reportingController: Required value"
    assert found[3:] == [
        "reportingInstance: Required value",
        'action: Invalid value: "": can have at most 128 characters',
        "reason: Required value",
        'message: Invalid value: "": can have at most 1024 characters',
    ]


async def test_field_selectors_are_each_groups_own(api):
    await api.made(CORE, core(source={"component": "kubelet"}))
    await api.made(NEW, new())
    for path, wanted, names in (
        (CORE, "source%3Dexample.com/c", ["n"]),
        (CORE, "source%3Dkubelet", ["e"]),
        (CORE, "involvedObject.fieldPath%3Dspec.containers{web}", ["e"]),
        (NEW, "reportingController%3Dexample.com/c", ["n"]),
        (NEW, "regarding.name%3Dweb,reason%3DStarted", ["e", "n"]),
    ):
        code, found = await api("GET", f"{path}?fieldSelector={wanted}")
        assert code == 200, found
        assert [item["metadata"]["name"] for item in found["items"]] == names, wanted
    code, error = await api("GET", f"{NEW}?fieldSelector=involvedObject.name%3Dweb")
    assert (code, error["message"]) == (400, "field label not supported: involvedObject.name")


async def test_the_table_is_kubectls_in_both_groups(api):
    await api.made(NEW, new(note=" it runs\n"))
    for path in (CORE, NEW):
        (row,) = await api.table(path)
        assert list(row) == [
            *("Last Seen", "Type", "Reason", "Object", "Subobject", "Source"),
            *("Message", "First Seen", "Count", "Name"),
        ]
        assert (row["Object"], row["Source"], row["Message"], row["Count"]) == (
            "pod/web",
            "example.com/c, c-1",
            "it runs",
            1,
        )
