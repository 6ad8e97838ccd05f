"""Tables: upstream's apimachinery/table_conversion.go."""

import pytest

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.conformance(
    "[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does not "
    "implement metadata [Conformance]"
)
async def test_what_is_never_stored_is_no_table(api):
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    code, status = await api("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, accept=TABLE)
    assert (code, status["reason"], status["code"]) == (406, "NotAcceptable", 406)
