"""The canonical form of objects: what Go's decoding and encoding would make of them. The API server's door uses it.

The law: a canonical object encodes to the same bytes as its Struct does (docs/internals/objects.md). A walker is
compiled for each type from its table, the first time it is met; it knows no paths. Only where it finds something
strange does faults.py walk again and say where.
"""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

from msgspec import Struct

from pybernetes.api import faults, quantity, schema
from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import Object
from pybernetes.api.schema import Field, TypeInfo

Walker: TypeAlias = Callable[[Any, list[bool]], Any]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)", re.ASCII)
_ZERO_TIME = "0001-01-01T00:00:00"
_APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_SCHEMA = _APIEXTENSIONS + "JSONSchemaProps"


class Canonical(Struct, frozen=True):
    """The canonical object (it shares what raw JSON it holds with the given one), and what it had to leave out."""

    object: Object
    problems: tuple[str, ...] = ()
    """`unknown field "spec.x"`, in the order of the document."""


def canonicalize(obj: Any, type_name: str) -> Canonical:
    """The canonical form of an object of this type. Raises BadRequest where Go could not decode it."""
    strange: list[bool] = []
    try:
        result = walker(type_name)(obj, strange)
        return Canonical(result, faults.unknown_fields(obj, type_name) if strange else ())
    except (WrongType, ValueError) as error:
        raise faults.refusal(obj, type_name, error) from None
    except RecursionError:
        raise BadRequest("couldn't get version/kind; json parse error: exceeded max depth") from None


def walker(type_name: str) -> Walker:
    """The compiled function of a type: (value, list that grows where a field is unknown) -> canonical value."""
    found = _walkers.get(type_name)
    return found if found is not None else _compile(type_name)


class WrongType(Exception):
    """A value of a kind that its field cannot hold."""


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ""
    raise WrongType


def _int32(value: Any) -> int:
    if type(value) is int and -(2**31) <= value < 2**31:
        return value
    if value is None:
        return 0
    raise WrongType


def _int64(value: Any) -> int:
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    if value is None:
        return 0
    raise WrongType


def _bool(value: Any) -> bool:
    if value is True or value is False:
        return value
    if value is None:
        return False
    raise WrongType


def _double(value: Any) -> int | float:
    if value is None:
        return 0
    if type(value) is int:
        return value
    if type(value) is not float:
        raise WrongType
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _bytes(value: Any) -> str:
    """Standard base64; Go skips line ends inside."""
    text = _string(value)
    try:
        data = base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raise WrongType from None
    return base64.b64encode(data).decode()


def _quantity(value: Any) -> str:
    if type(value) is str:
        return quantity.canonical(value.strip())
    if value is None:
        return "0"
    if type(value) in (int, float):
        return quantity.canonical(str(value).replace("e+", "e"))
    raise WrongType


def _intorstring(value: Any) -> int | str:
    return value if type(value) is str else _int32(value)


def _time(value: Any) -> str | None:
    """RFC 3339 in UTC with whole seconds; the zero time is null."""
    if value is None:
        return None
    if type(value) is not str:
        raise WrongType
    return _timestamp(value, _TIME, 19)


def _microtime(value: Any) -> str | None:
    """RFC 3339 in UTC with exactly six digits; the zero time is null."""
    if value is None:
        return None
    if type(value) is not str:
        raise WrongType
    return _timestamp(value, _MICRO_TIME, 26)


@lru_cache(maxsize=4096)
def _timestamp(text: str, pattern: re.Pattern[str], keep: int) -> str | None:
    if not pattern.fullmatch(text):
        raise WrongType
    base = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)  # ValueError where out of range
    moment = text[:19]
    if text[-1] != "Z":
        offset = timedelta(hours=int(text[-5:-3]), minutes=int(text[-2:]))
        try:
            base = base - offset if text[-6] == "+" else base + offset
        except OverflowError:
            raise WrongType from None
        moment = base.isoformat()[:19]
    if moment == _ZERO_TIME and not re.search(r"\.\d*[1-9]", text):
        return None
    return f"{moment}{text[19:keep]}Z"


def _mapping(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise WrongType
    return value


def _sequence(value: Any) -> list[Any]:
    if type(value) is not list:
        raise WrongType
    return value


def _strings(value: Any) -> list[str]:
    return [x if type(x) is str else _string(x) for x in _sequence(value)]


def _string_map(value: Any) -> dict[str, str]:
    given = _mapping(value)
    return {key: x if type(x := given[key]) is str else _string(x) for key in sorted(given)}


def _raw(value: Any) -> Any:
    return value


def _schema_or_array(value: Any, strange: list[bool]) -> Any:
    if type(value) is list:  # Go writes an empty one as null, which is no schema at all.
        return None if not value else [walker(_SCHEMA)(x, strange) for x in value]
    return walker(_SCHEMA)(_mapping(value), strange)


def _schema_or_bool(value: Any, strange: list[bool]) -> Any:
    return value if type(value) is bool else walker(_SCHEMA)(_mapping(value), strange)


def _schema_or_strings(value: Any, strange: list[bool]) -> Any:
    return _strings(value) if type(value) is list else walker(_SCHEMA)(_mapping(value), strange)


def _extra(given: dict[str, Any], known: frozenset[str], strange: list[bool]) -> None:
    """Some keys were not taken: nulls are well, others unknown."""
    if not known.issuperset(given):
        strange.append(True)


UNIONS = {
    _APIEXTENSIONS + "JSONSchemaPropsOrArray": "_schema_or_array",
    _APIEXTENSIONS + "JSONSchemaPropsOrBool": "_schema_or_bool",
    _APIEXTENSIONS + "JSONSchemaPropsOrStringArray": "_schema_or_strings",
}
_ZEROS = {
    **{"string": '""', "bytes": '""', "int32": "0", "int64": "0", "double": "0", "bool": "False"},
    **{"quantity": '"0"', "intorstring": "0", "time": "None", "microtime": "None", "raw": "None"},
    **{"list": "[]", "map": "{}"},
}


def _function(type_name: str) -> str:
    return "walk_" + type_name.replace(".", "_").replace("-", "_")


def _expression(field: Field, value: str) -> str:
    """Python that makes `value` canonical."""
    if field.kind == "object":
        _declare(field.ref)
        return f"{_function(field.ref)}({value}, strange)"
    if field.kind == "raw" and field.ref in UNIONS:
        return f"{UNIONS[field.ref]}({value}, strange)"
    if field.kind == "raw":
        return value
    if field.kind == "list":
        assert field.item
        return "_strings(" + value + ")" if field.item.kind == "string" else _list(field.item, value)
    if field.kind == "map":
        assert field.item
        if field.item.kind == "string":
            return f"_string_map({value})"
        inner = _expression(field.item, f"{value}[k]")
        return f"{{k: {inner} for k in sorted(_mapping({value}))}}"
    return f"_{field.kind}({value})"


def _list(item: Field, value: str) -> str:
    return f"[{_expression(item, 'x')} for x in _sequence({value})]"


def kept(name: str, field: Field, default: str, empty: str) -> tuple[list[str], list[str]]:
    """Statements that put the canonical value `v` of a field into `out`, and those for a field that is absent.

    `default` stands in for an absent or empty one, `empty` is an expression for an empty object.
    """
    key = repr(name)
    zero = default
    if field.always and not default:
        zero = "None" if field.nullable else _ZEROS.get(field.kind, empty)
    absent = [f"out[{key}] = {zero}"] if zero else []
    if field.kind in ("time", "microtime") or field.ref in UNIONS:
        return [f"if v is not None: out[{key}] = v", *([f"else: out[{key}] = None"] if field.always else [])], absent
    if field.pointer or (field.always and not default):
        return [f"out[{key}] = v"], absent
    return [f"if v: out[{key}] = v", *([f"else: out[{key}] = {default}"] if default else [])], absent


def default_of(info: TypeInfo, name: str) -> str:
    """The expression of what a kind says of itself."""
    if info.gvk is None or name not in ("kind", "apiVersion"):
        return ""
    return repr(info.gvk.kind if name == "kind" else info.gvk.api_version)


def _lines(info: TypeInfo, field: Field) -> list[str]:
    """The statements of one field."""
    default = default_of(info, field.name)
    empty = _expression(field, "{}") if field.kind == "object" else ""
    present, absent = kept(field.name, field, default, empty)
    # Most values are strings: a test is cheaper than a call.
    text = "if v.__class__ is not str: " if field.kind == "string" else ""
    taken = (f"{text}v = {_expression(field, 'v')}", *present)
    lines = [f"v = get({field.name!r})", "if v is not None:", "    n += 1", *(f"    {line}" for line in taken)]
    return [*lines, *(f"else: {line}" for line in absent)]


def _source(info: TypeInfo) -> str:
    body = [
        "if d.__class__ is not dict:",
        "    if d is not None: raise WrongType",
        "    d = {}",
        "out = {}",
        "n = 0",
        "get = d.get",
    ]
    for field in info.fields.values():
        body += _lines(info, field)
    body += [f"if n != len(d): _extra(d, {_function(info.name)}_known, strange)", "return out"]
    return f"def {_function(info.name)}(d, strange):\n" + "".join(f"    {line}\n" for line in body)


def _declare(type_name: str) -> None:
    """Names the walker of a type before it is compiled: types refer to each other in circles."""
    name = _function(type_name)

    def first(value: Any, strange: list[bool]) -> Any:
        return _compile(type_name)(value, strange)

    _namespace.setdefault(name, first)


def _compile(type_name: str) -> Walker:
    info = schema.get(type_name)
    name = _function(type_name)
    _namespace[f"{name}_known"] = frozenset(info.fields)
    exec(compile(_source(info), f"<canonical {type_name}>", "exec"), _namespace)
    found: Walker = _namespace[name]
    _walkers[type_name] = found
    return found


_walkers: dict[str, Walker] = {}
_namespace: dict[str, Any] = {name: value for name, value in globals().items() if name[:2] != "__"}
