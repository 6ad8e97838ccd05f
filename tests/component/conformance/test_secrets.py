"""Secrets: upstream's test/e2e/common/node/secrets.go, what the API alone has to do."""

import pytest

PATH = "/api/v1/namespaces/default/secrets"


@pytest.mark.conformance("[sig-node] Secrets should fail to create secret due to empty secret key [Conformance]")
async def test_an_empty_key_is_refused(api):
    code, error = await api("POST", PATH, {"metadata": {"name": "s"}, "data": {"": "dmFsdWUtMQ=="}})
    assert (code, error["reason"]) == (422, "Invalid")


@pytest.mark.conformance("[sig-node] Secrets should patch a secret [Conformance]")
async def test_a_secret_is_patched(api):
    body = {"metadata": {"name": "s", "labels": {"testsecret-constant": "true"}}, "data": {"key": "dmFsdWU="}}
    await api.ok("POST", PATH, {**body, "type": "Opaque"})
    patch = {"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": "dmFsdWUx"}}
    await api.ok("PATCH", f"{PATH}/s", patch)
    found = await api.ok("GET", "/api/v1/secrets?labelSelector=testsecret%3Dtrue,testsecret-constant%3Dtrue")
    assert [item["data"] for item in found["items"]] == [{"key": "dmFsdWUx"}]
    await api.ok("DELETE", f"{PATH}?labelSelector=testsecret%3Dtrue")
    assert (await api.ok("GET", "/api/v1/secrets?labelSelector=testsecret-constant%3Dtrue"))["items"] == []
