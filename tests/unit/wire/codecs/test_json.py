"""JSON: Go's words for what is none, and fields given twice."""

import pytest

from pybernetes.api.errors import BadRequest
from pybernetes.wire.codecs import json


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b'{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b'{"a":01}', "invalid character '1' after object key:value pair"),
        (b'{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
        (b'{"a":"\n"}', "invalid character '\\n' in string literal"),
        (b'{"a":1}x', "invalid character 'x' after top-level value"),
        (b'{"a":"\\x"}', "invalid character 'x' in string escape code"),
        (b"nope", "invalid character 'o' in literal null (expecting 'u')"),
    ],
)
def test_words_for_what_is_no_json(data: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as raised:
        json.decode(data)
    assert raised.value.message == f"couldn't get version/kind; json parse error: {words}"


def test_fields_given_twice_are_told_with_their_paths() -> None:
    data = b'{"a":1,"b":{"c":1,"c":2,"c":3,"d":[{"x":1,"x":2}]},"a":3}'
    value = json.decode(data)
    assert value["a"] == 3
    assert json.duplicate_fields(data, value) == (
        'duplicate field "a"',
        'duplicate field "b.c"',
        'duplicate field "b.d[0].x"',
    )


@pytest.mark.parametrize("data", [b'{"a":1}', b'{"a":1}\n', b'{ "a": [ {"b": 1.50} ] }', b'{"a":"\\u003c"}'])
def test_no_field_is_told_twice_where_none_is(data: bytes) -> None:
    assert json.duplicate_fields(data, json.decode(data)) == ()


def test_a_body_without_kind_is_shown_by_its_beginning() -> None:
    text = "the object provided is unrecognized (must be of type Pod): x"
    assert json.unrecognized("Pod", "x", b"").message == f"{text} (<empty>)"
    assert json.unrecognized("Pod", "x", b'{"a":1}').message == f'{text} ({{"a":1}})'
    assert json.unrecognized("Pod", "x", b"\x00\x01").message == f"{text} (0001)"
