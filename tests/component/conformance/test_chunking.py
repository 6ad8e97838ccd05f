"""Lists in pages: upstream's apimachinery/chunking.go."""

import pytest

from pybernetes.store.protocol import Revision

TEMPLATES = "/api/v1/namespaces/default/podtemplates"
TOTAL = 400
LIMIT = 51


async def fill(api):
    for number in range(TOTAL):
        container = {"name": "c", "image": "i"}
        template = {"spec": {"containers": [container]}}
        await api.ok("POST", TEMPLATES, {"metadata": {"name": f"template-{number:04}"}, "template": template})


@pytest.mark.conformance(
    "[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls [Conformance]"
)
async def test_pages_are_of_one_state_and_say_what_is_left(api):
    await fill(api)
    names, token, version = [], "", ""
    while True:
        page = await api.ok("GET", f"{TEMPLATES}?limit={LIMIT}" + (f"&continue={token}" if token else ""))
        assert len(page["items"]) <= LIMIT
        names += [item["metadata"]["name"] for item in page["items"]]
        version = version or page["metadata"]["resourceVersion"]
        assert page["metadata"]["resourceVersion"] == version
        token = page["metadata"].get("continue", "")
        if not token:
            assert "remainingItemCount" not in page["metadata"]
            break
        assert page["metadata"]["remainingItemCount"] + len(names) == TOTAL
    assert names == [f"template-{number:04}" for number in range(TOTAL)]
    whole = await api.ok("GET", f"{TEMPLATES}?limit={TOTAL + 1}")
    assert len(whole["items"]) == TOTAL
    assert "continue" not in whole["metadata"]


@pytest.mark.conformance(
    "[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key if the "
    "original version has been compacted away, though the list is inconsistent [Conformance] [Slow]"
)
async def test_a_compacted_token_is_answered_with_one_for_the_rest(api):
    await fill(api)
    first = await api.ok("GET", f"{TEMPLATES}?limit={LIMIT}")
    container = {"name": "c", "image": "i"}
    await api.ok(
        "POST", TEMPLATES, {"metadata": {"name": "template-9999"}, "template": {"spec": {"containers": [container]}}}
    )
    storage = api.server.storage
    await storage.cache.compact(Revision(storage.cache.revision))
    code, status = await api("GET", f"{TEMPLATES}?limit={LIMIT}&continue={first['metadata']['continue']}")
    assert (code, status["reason"]) == (410, "Expired")
    page = await api.ok("GET", f"{TEMPLATES}?limit={LIMIT}&continue={status['metadata']['continue']}")
    assert int(page["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert len(page["items"]) == LIMIT
    assert page["metadata"]["remainingItemCount"] == TOTAL + 1 - 2 * LIMIT
    names = [item["metadata"]["name"] for item in first["items"] + page["items"]]
    while page["metadata"].get("continue"):
        page = await api.ok("GET", f"{TEMPLATES}?limit={LIMIT}&continue={page['metadata']['continue']}")
        names += [item["metadata"]["name"] for item in page["items"]]
    assert names == [f"template-{number:04}" for number in range(TOTAL)] + ["template-9999"]
