"""Pod templates: upstream's test/e2e/common/node/podtemplates.go."""

import pytest

NS = "/api/v1/namespaces/default"
TEMPLATES = f"{NS}/podtemplates"


def template(name, **labels):
    pod = {"spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}}
    return {"metadata": {"name": name, "labels": labels}, "template": pod}


@pytest.mark.conformance("[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]")
async def test_a_template_lives_through_the_generic_cycle(api):
    await api.cycle(TEMPLATES, template("static"))


@pytest.mark.conformance("[sig-node] PodTemplates should delete a collection of pod templates [Conformance]")
async def test_templates_are_deleted_by_label(api):
    for name in ("a", "b", "c"):
        await api.ok("POST", TEMPLATES, template(name, set="yes"))
    await api.ok("POST", TEMPLATES, template("other", set="no"))
    found = await api.ok("GET", f"{TEMPLATES}?labelSelector=set%3Dyes")
    assert [item["metadata"]["name"] for item in found["items"]] == ["a", "b", "c"]
    await api.ok("DELETE", f"{TEMPLATES}?labelSelector=set%3Dyes")
    found = await api.ok("GET", TEMPLATES)
    assert [item["metadata"]["name"] for item in found["items"]] == ["other"]


@pytest.mark.conformance("[sig-node] PodTemplates should replace a pod template [Conformance]")
async def test_a_template_is_replaced(api):
    made = await api.ok("POST", TEMPLATES, template("whole"))
    made["metadata"]["annotations"] = {"updated": "true"}
    made["template"]["spec"]["containers"][0]["image"] = "registry.k8s.io/pause:3.9"
    stored = await api.ok("PUT", f"{TEMPLATES}/whole", made)
    assert stored["metadata"]["annotations"] == {"updated": "true"}
    assert stored["template"]["spec"]["containers"][0]["image"] == "registry.k8s.io/pause:3.9"


async def test_a_template_is_defaulted_and_judged_as_a_pod_is(api):
    made = await api.ok("POST", TEMPLATES, template("a"))
    assert made["template"]["spec"]["restartPolicy"] == "Always"
    assert made["template"]["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    wrong = template("b")
    wrong["template"]["metadata"] = {"labels": {"a b": "c"}}
    wrong["template"]["spec"]["containers"][0]["name"] = ""
    wrong["template"]["spec"]["ephemeralContainers"] = [{"name": "e", "image": "e"}]
    code, answer = await api("POST", TEMPLATES, wrong)
    assert code == 422
    assert [cause["field"] for cause in answer["details"]["causes"]] == [
        "template.labels",
        "template.spec.containers[0].name",
        "template.spec.ephemeralContainers",
    ]


async def test_a_template_shows_containers_images_and_labels(api):
    made = template("shown")
    made["template"]["metadata"] = {"labels": {"a": "b"}}
    await api.ok("POST", TEMPLATES, made)
    table = await api.ok("GET", TEMPLATES, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name",
        "Containers",
        "Images",
        "Pod Labels",
        "Age",
    ]
    assert table["rows"][0]["cells"][:4] == ["shown", "c", "registry.k8s.io/pause:3.10", "a=b"]
