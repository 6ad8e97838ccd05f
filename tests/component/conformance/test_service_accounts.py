"""ServiceAccounts: upstream's test/e2e/auth/service_accounts.go, what the API alone has to do."""

import pytest

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


@pytest.mark.conformance(
    "[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]"
)
async def test_the_lifecycle_of_an_account(api):
    await api.cycle(ACCOUNTS, {"metadata": {"name": "testserviceaccount"}})


@pytest.mark.conformance("[sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]")
async def test_an_account_is_updated(api):
    made = await api.ok("POST", ACCOUNTS, {"metadata": {"name": "e2e"}, "automountServiceAccountToken": True})
    made["automountServiceAccountToken"] = False
    assert (await api.ok("PUT", f"{ACCOUNTS}/e2e", made))["automountServiceAccountToken"] is False


@pytest.mark.conformance(
    "[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview [Conformance]"
)
async def test_a_token_is_reviewed(api):
    await api.ok("POST", ACCOUNTS, {"metadata": {"name": "e2e"}})
    request = await api.ok("POST", f"{ACCOUNTS}/e2e/token", {"spec": {}})
    review = {"spec": {"token": request["status"]["token"]}}
    answer = await api.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert answer["status"]["authenticated"] is True
    assert answer["status"]["user"]["username"] == "system:serviceaccount:default:e2e"
