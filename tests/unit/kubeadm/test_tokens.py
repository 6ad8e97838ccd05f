"""Bootstrap tokens: form, Secret, signature, table."""

import base64

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.controllers.bootstrap_signer import signature
from pybernetes.kubeadm import tokens
from pybernetes.kubeadm.errors import InvalidConfigError
from pybernetes.kubeadm.tokens import Token

TOKEN = Token("abcdef", "0123456789abcdef")


def test_generated_tokens_are_well_formed_and_differ() -> None:
    made = {str(tokens.generate()) for _ in range(20)}
    assert len(made) == 20
    assert all(str(tokens.parse(text)) == text for text in made)


@pytest.mark.parametrize(
    "text", ["", "abcdef", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdef\n"]
)
def test_other_forms_are_refused_in_upstreams_words(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="was not of the form"):
        tokens.parse(text)


def test_delete_takes_an_id_or_a_whole_token() -> None:
    assert tokens.parse_id("abcdef") == tokens.parse_id(str(TOKEN)) == "abcdef"
    with pytest.raises(InvalidConfigError, match="didn't match pattern"):
        tokens.parse_id("abc")


def test_secret_has_the_form_that_the_api_server_authenticates() -> None:
    secret = tokens.secret_of(TOKEN, expires=1_767_225_600, description="for tests")
    data = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert secret["type"] == "bootstrap.kubernetes.io/token"
    assert secret["metadata"] == {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    assert data == {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        "expiration": "2026-01-01T00:00:00Z",
        "description": "for tests",
    }
    assert "expiration" not in tokens.secret_of(TOKEN, expires=None)["data"]


def test_signature_is_a_detached_jws_that_others_read() -> None:
    header, middle, mac = signature("content", TOKEN.id, TOKEN.secret).split(".")
    assert middle == ""
    whole = f"{header}.{base64.urlsafe_b64encode(b'content').decode().rstrip('=')}.{mac}"
    options = jwt.api_jws.PyJWS()
    # PyJWT warns of keys under 32 bytes; the token's secret has 16 by definition
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        assert options.decode(whole, TOKEN.secret, ["HS256"]) == b"content"
    assert jwt.get_unverified_header(whole) == {"alg": "HS256", "kid": "abcdef"}


@settings(max_examples=50)
@given(st.text(max_size=50), st.text(max_size=50))
def test_signature_fits_its_content_and_no_other(content: str, other: str) -> None:
    signed = signature(content, TOKEN.id, TOKEN.secret)
    assert tokens.verify(TOKEN, content, signed)
    assert tokens.verify(TOKEN, other, signed) is (other == content)
    assert not tokens.verify(Token("abcdef", "f" * 16), content, signed)


@pytest.mark.parametrize("detached", ["", "a.b", "..", "!!..x", "a.b.c", "e30..x", "bm90IGpzb24..x"])
def test_malformed_signatures_are_no_proof(detached: str) -> None:
    assert not tokens.verify(TOKEN, "content", detached)


def test_a_signature_that_names_no_algorithm_is_no_proof() -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"abcdef"}').decode().rstrip("=")
    assert not tokens.verify(TOKEN, "content", f"{header}..")


def test_row_says_how_long_a_token_lasts() -> None:
    secret = tokens.secret_of(TOKEN, expires=1_767_225_600, description="d")
    row = tokens.row(secret, 1_767_225_600 - 23.5 * 3600)
    assert row == (str(TOKEN), "23h", "2026-01-01T00:00:00Z", "authentication,signing", "d", tokens.GROUP)
    assert tokens.row(secret, 1_767_225_700)[1] == "<invalid>"
    assert tokens.row(tokens.secret_of(TOKEN, expires=None), 0)[1:3] == ("<forever>", "<never>")
