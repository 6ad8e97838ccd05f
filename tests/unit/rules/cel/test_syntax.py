"""CEL's grammar: what binds to what, and that no text does harm."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.rules.cel.syntax import Call, Entries, Items, Literal, Name, Node, Select, SyntaxFault, parse


def told(node: Node) -> str:
    """The tree in brackets."""
    match node:
        case Literal():
            return node.text
        case Name():
            return node.name
        case Select():
            return f"{told(node.operand)}.{'?' * node.optional}{node.field}"
        case Items():
            return f"[{' '.join(map(told, node.items))}]"
        case Entries():
            return node.name + "{" + " ".join(f"{told(k)}:{told(v)}" for k, v in node.entries) + "}"
        case Call():
            target = f"{told(node.target)}." if node.target is not None else ""
            return f"{target}{node.function}({' '.join(map(told, node.arguments))})"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("1 + 2 * 3", "_+_(1 _*_(2 3))"),
        ("1 - 2 - 3", "_-_(_-_(1 2) 3)"),
        ("a || b && !c", "_||_(a _&&_(b !_(c)))"),
        ("a == b ? c : d ? e : f", "_?_:_(_==_(a b) c _?_:_(d e f))"),
        ("x in [1, 2,]", "@in(x [1 2])"),
        ("-x.y", "-_(x.y)"),
        ("-1", "-1"),
        ("!!a", "a"),
        ("a.b.c(d)[e].f", "_[_](a.b.c(d) e).f"),
        ("a.?b[?0].orValue(1u)", "_[?_](a.?b 0).orValue(1u)"),
        ("size(a) // the rest is told", "size(a)"),
        ("{'a': 1, b: [2]}", "{'a':1 b:[2]}"),
        ("Object{spec: Object.spec{x: 1}}", "Object{spec:Object.spec{x:1}}"),
        ('r\'\\d\' + """a\nb""" + b\'x\'', '_+_(_+_(r\'\\d\' """a\nb""") b\'x\')'),
        ("1.5e3 + .5 + 0xFFu", "_+_(_+_(1.5e3 .5) 0xFFu)"),
        ("a.`b-c/d`", "a.b-c/d"),
        ("object.metadata.namespace", "object.metadata.namespace"),
    ],
)
def test_what_binds_to_what(text: str, tree: str):
    assert told(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0),
        ("a +", 3),
        ("a ? b", 5),
        ("(a", 2),
        ("a b", 2),
        ("a.in", 2),
        ("'a", 0),
        ("for", 0),
        ("a # b", 2),
        ("[1", 2),
    ],
)
def test_faults_say_where(text: str, at: int):
    with pytest.raises(SyntaxFault) as fault:
        parse(text)
    assert fault.value.at == at


@settings(max_examples=300)
@given(st.text(alphabet="ab1.'\"()[]{}?:!-+*<>=&|, \n\\ri`/", max_size=40))
def test_any_text_is_a_tree_or_a_fault(text: str):
    assert 0 <= place(text) <= len(text)


def place(text: str) -> int:
    """Of the fault; the end where there is none."""
    try:
        parse(text)
    except SyntaxFault as fault:
        return fault.at
    return len(text)
