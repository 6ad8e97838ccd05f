"""Bootstrap tokens as Secrets: rows of upstream's pkg/controller/bootstrap/util_test.go."""

import base64

import msgspec
import pytest

from pybernetes.api.types import core_v1
from pybernetes.controllers._tokens import token_of

DATA = {"token-id": "abc123", "token-secret": "tokenSecret", "usage-bootstrap-signing": "true"}


def secret(name: str = "bootstrap-token-abc123", **data: str) -> core_v1.Secret:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in {**DATA, **data}.items()}
    body = {
        "metadata": {"name": name, "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "data": encoded,
    }
    return msgspec.convert(body, core_v1.Secret)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bootstrap-token-abc123", {"token-id": ""}),
        ("bootstrap-token-abc123", {"token-secret": ""}),
        ("bootstrap-token-def456", {}),
        ("abc123", {}),
        ("bootstrap-token-", {"token-id": ""}),
        ("bootstrap-token-abc", {"token-id": "abc"}),
        ("bootstrap-token-abc123ghi", {"token-id": "abc123ghi"}),
        ("bootstrap-token-ABC123", {"token-id": "ABC123"}),
    ],
)
def test_a_malformed_token_is_none(name: str, data: dict[str, str]) -> None:
    assert token_of(secret(name, **data)) is None


@pytest.mark.parametrize(
    ("data", "signs", "expires"),
    [
        ({}, True, None),
        ({"expiration": "2026-01-01T00:00:00Z"}, True, 1_767_225_600.0),
        ({"expiration": "garbage"}, True, 0.0),
        ({"usage-bootstrap-signing": ""}, False, None),
        ({"usage-bootstrap-signing": "yes"}, False, None),
    ],
)
def test_a_token_says_whether_it_signs_and_when_it_ends(
    data: dict[str, str], *, signs: bool, expires: float | None
) -> None:
    found = token_of(secret(**data))
    assert found is not None
    assert (found.id, found.secret, found.signs, found.expires) == ("abc123", "tokenSecret", signs, expires)
