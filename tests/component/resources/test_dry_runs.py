"""dryRun=All of every verb and subresource of every kind: nothing is stored, no revision used, nothing kept."""

import pytest
from tests.examples_of_kinds import collection, example, keys

from pybernetes.apiserver.catalog import discovered

SERVED = {(served.facts.group, served.facts.version, served.facts.plural): served for served in discovered()}
KINDS = [key for key in keys() if key in SERVED]
BODIES = {
    "binding": {"target": {"kind": "Node", "name": "n"}},
    "eviction": {},
    "token": {"spec": {"audiences": ["a"]}},
}


def name_of(key):
    return "/".join(part or "core" for part in key)


async def state(api):
    """Every key of the store with its bytes, and the revision."""
    store = api.server.storage.store
    found = await store.range("/registry/")
    return [(item.key, item.value, item.revision) for item in found.items], await store.revision()


async def still(api, before, *answers):
    """All answers are good, and the store is as it was."""
    assert [answer for answer in answers if answer[0] >= 300 and answer[0] != 405] == []
    assert await state(api) == before


@pytest.mark.parametrize("key", KINDS, ids=name_of)
async def test_a_dry_run_leaves_no_trace(api, key):
    path, body = collection(*key), example(*key)
    one, name = f"{path}/{body['metadata']['name']}", body["metadata"]["name"]
    before = await state(api)
    code, answer = await api("POST", f"{path}?dryRun=All", body)
    assert code == 201, answer
    await still(api, before)
    code, made = await api("POST", path, body)
    assert code == 201, made
    made = await settled(api, one)
    before = await state(api)
    changed = {**made, "metadata": {**made["metadata"], "labels": {"dry": "run"}}}
    patch = {"metadata": {"labels": {"dry": "run"}}}
    for verb, target, sent in (("PUT", one, changed), ("PATCH", one, patch)):
        code, answer = await api(verb, f"{target}?dryRun=All", sent)
        assert (code, answer["metadata"]["labels"]["dry"]) == (200, "run"), answer
        await still(api, before)
    for policy in ("Foreground", "Orphan", "Background"):
        await still(api, before, await api("DELETE", f"{one}?dryRun=All&propagationPolicy={policy}"))
    await still(api, before, await api("DELETE", one, {"dryRun": ["All"]}))
    await still(api, before, await api("DELETE", f"{path}?dryRun=All"))
    for sub, known in SERVED[key].facts.subresources.items():
        if sub in ("proxy", "log", "exec", "attach", "portforward"):
            continue
        shown = (await api("GET", f"{one}/{sub}"))[1] if "get" in known.verbs else {}
        for verb, method in (("create", "POST"), ("update", "PUT"), ("patch", "PATCH")):
            if verb in known.verbs:
                sent = patch if verb == "patch" else shown or {**BODIES.get(sub, made), "metadata": {"name": name}}
                await still(api, before, await api(method, f"{one}/{sub}?dryRun=All", sent))


async def settled(api, one):
    """The object once nobody writes any more (a definition is established after it was made)."""
    seen = None
    for _ in range(50):
        now = await state(api)
        if now == seen:
            break
        seen = now
        await api("GET", "/api/v1/namespaces")
    return (await api("GET", one))[1]


async def test_an_address_or_port_of_a_dry_run_is_free_again(api):
    path = "/api/v1/namespaces/default/services"
    spec = {"clusterIP": "10.96.0.77", "type": "NodePort", "ports": [{"port": 80, "nodePort": 30999}]}
    for _ in range(2):
        assert (await api("POST", f"{path}?dryRun=All", {"metadata": {"name": "a"}, "spec": spec}))[0] == 201
    made = await api.made(path, {"metadata": {"name": "b"}, "spec": {"ports": [{"port": 80}]}})
    wanted = {**made, "spec": {**made["spec"], "type": "NodePort", "ports": spec["ports"]}}
    assert (await api("PUT", f"{path}/b?dryRun=All", wanted))[0] == 200
    assert (await api("DELETE", f"{path}/b?dryRun=All"))[0] == 200
    ghost = {"clusterIP": made["spec"]["clusterIP"], "ports": [{"port": 80}]}
    assert (await api("POST", path, {"metadata": {"name": "c"}, "spec": ghost}))[0] == 422, "the address is still b's"
    assert (await api.made(path, {"metadata": {"name": "a"}, "spec": spec}))["spec"]["clusterIP"] == "10.96.0.77"
