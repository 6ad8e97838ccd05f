"""YAML: the dialect of kubectl's manifests, and its way to print."""

import pytest

from pybernetes.api.errors import BadRequest
from pybernetes.wire.codecs import yaml


def test_the_dialect_is_yaml_1_1_without_timestamps() -> None:
    assert yaml.load("mode: 0644\non: yes\nday: 2026-01-02\n1: a\nnone: ~\n") == {
        "mode": 420,
        "true": True,
        "day": "2026-01-02",
        "1": "a",
        "none": None,
    }


def test_documents_keep_their_lines_and_empty_ones_are_skipped() -> None:
    found = list(yaml.documents("# top\na: 1\n---\n# nothing\n---\n\nb: 2\n"))
    assert [(d.value, d.line) for d in found] == [({"a": 1}, 2), ({"b": 2}, 7)]


def test_keys_given_twice_are_told_with_their_lines_and_the_last_holds() -> None:
    text = "a: 1\nb: 2\na: 3\nc:\n  d: 1\n  d: 1\n"
    assert yaml.load(text)["a"] == 3
    assert yaml.decode_strictly(text)[1] == (
        'yaml: unmarshal errors:\n  line 3: key "a" already set in map\n  line 6: key "d" already set in map',
    )
    assert yaml.decode_strictly("a: 1\n") == ({"a": 1}, ())


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "&a [*a]", "!!python/object:os.system x", "{[]: 1}", b"\xff\xff"])
def test_what_is_no_yaml_is_refused_with_a_cause(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="error converting YAML to JSON: yaml: "):
        yaml.load(text)
    with pytest.raises(BadRequest):
        yaml.decode(text)


def test_aliases_that_multiply_are_refused() -> None:
    text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        text += f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    with pytest.raises(ValueError, match="excessive aliasing"):
        yaml.load(text)


def test_prints_as_kubectl_does() -> None:
    value = {
        "b": [{"x": 1, "a": "yes"}, {"c": None}],
        "a": "1",
        "text": "one\ntwo\n",
        "e": {},
        "f": [],
        "time": "2026-01-02T03:04:05Z",
        "colon": "a: b",
        "u": "é",
    }
    assert yaml.dump(value) == (
        'a: "1"\nb:\n- a: "yes"\n  x: 1\n- c: null\ncolon: \'a: b\'\ne: {}\nf: []\ntext: |\n  one\n  two\n'
        'time: "2026-01-02T03:04:05Z"\nu: é\n'
    )


def test_what_is_printed_is_read_back() -> None:
    value = {
        "a": ["", "null", "0644", "1e3", " x ", "a\n b", "#", "-", "~", "0o7", "=", "y"],
        "b": {"n": 1.5, "t": True},
    }
    assert yaml.load(yaml.dump(value)) == value
    assert yaml.decode(yaml.encode(value)) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [b", "line 1: did not find expected ',' or ']'"),
        ("a: b: c", "mapping values are not allowed in this context"),
        ("x: 1\na: b: c\n", "line 2: mapping values are not allowed in this context"),
        ("x: 1\ny:\n  - a\n b: c\n", "line 3: did not find expected key"),
        ("x: 1\n\ta: b\n", "line 2: found a tab character that violates indentation"),
        ('x: 1\na: "b\n', "line 3: found unexpected end of stream"),
        ("x: 1\na: {b\nc: d\n", "line 2: did not find expected ',' or '}'"),
        ("x: 1\n- a\n", "line 1: did not find expected key"),
    ],
)
def test_faults_have_the_words_and_lines_of_go_yaml(text: str, words: str) -> None:
    with pytest.raises(BadRequest) as raised:
        yaml.decode(text)
    assert raised.value.message == f"error converting YAML to JSON: yaml: {words}"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_that_would_end_the_process_is_refused(opening: str) -> None:
    closing = {"[": "]", "{a: ": "}"}.get(opening, "x")
    with pytest.raises(BadRequest, match="exceeded maximum nesting depth"):
        yaml.decode(opening * 100_000 + closing * (100_000 if closing != "x" else 1))


@pytest.mark.parametrize(
    "value", ["!!bool x", "!!int x", "!!int 0x", "!!float x", "!!timestamp x", "!!binary YQ==", "9" * 400, "9" * 5000]
)
def test_values_that_are_not_what_their_tag_says_are_refused(value: str) -> None:
    with pytest.raises(BadRequest, match="error converting YAML to JSON"):
        yaml.decode(f"a: {value}")


def test_what_json_cannot_hold_is_refused_and_large_numbers_are_floats() -> None:
    with pytest.raises(BadRequest, match="recursion limit"):
        yaml.decode("{a: " * 300 + "1" + "}" * 300)
    assert yaml.decode("a: 99999999999999999999") == {"a": 1e20}


@pytest.mark.parametrize("text", ["a: .inf", "a: -.INF", "a: [.nan]"])
def test_numbers_that_json_does_not_know_are_refused(text):
    with pytest.raises(BadRequest, match="json: unsupported value"):
        yaml.decode(text.encode())
