"""Continue tokens cannot be made, moved or changed by clients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.errors import BadRequest
from pybernetes.apiserver.tokens import ContinueTokens, Position

TOKENS = ContinueTokens(b"key")
PREFIX = "/registry/pods/default"


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.integers(-1, 2**53))
def test_a_token_comes_back_as_it_was(after, revision):
    token = TOKENS.encode(PREFIX, Position(after, revision))
    assert TOKENS.decode(PREFIX, token) == Position(after, revision)


@given(st.text(max_size=60))
def test_other_texts_are_refused(text):
    with pytest.raises(BadRequest):
        TOKENS.decode(PREFIX, text)


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_token_is_refused(at, letter):
    token = TOKENS.encode(PREFIX, Position("default/web", 7))
    changed = token[: at % len(token)] + letter + token[at % len(token) + 1 :]
    # The last letter of base64 has bits that say nothing; only texts that decode to the same bytes may pass.
    try:
        assert TOKENS.decode(PREFIX, changed) == Position("default/web", 7)
    except BadRequest:
        assert changed != token


def test_a_token_is_of_one_list_and_one_key():
    token = TOKENS.encode(PREFIX, Position("default/web", 7))
    with pytest.raises(BadRequest):
        TOKENS.decode("/registry/pods/other", token)
    with pytest.raises(BadRequest):
        ContinueTokens(b"other").decode(PREFIX, token)
