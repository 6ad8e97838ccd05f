"""Reads KubeletConfiguration strictly: a file, drop-ins over it, flags over both; writes the effective one for /configz.

Every problem of a document is found, not the first. configuration_rules.py says which values are allowed.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import replace

from pybernetes.api import quantity
from pybernetes.api.objects import overlaid
from pybernetes.kubelet.configuration import API_VERSION, EVICTION_HARD, KIND, Configuration
from pybernetes.kubelet.configuration_rules import problems_of
from pybernetes.rules import durations
from pybernetes.wire.codecs import yaml

Document = dict[str, Any]

# Where nothing said is not the same as zero (pointers in Go); elsewhere zero and "" are the default.
_POINTERS = """
    healthzPort registryPullQPS eventRecordQPS oomScoreAdj imageGCHighThresholdPercent imageGCLowThresholdPercent
    podPidsLimit resolvConf nodeStatusMaxImages kubeAPIQPS iptablesMasqueradeBit iptablesDropBit cpuCFSQuotaPeriod
    containerLogMaxFiles containerLogMaxWorkers containerLogMonitorInterval memoryThrottlingFactor
    maxParallelImagePulls maxContainerRestartPeriod idsPerPod samplingRatePerMillion podHousekeepingPeriod
"""
_ZERO_COUNTS = frozenset(_POINTERS.split())
_GO = {bool: "bool", int: "int", float: "float64", str: "string", dict: "map", list: "list"}


class ConfigurationError(ValueError):
    """A configuration that cannot be used; the text says why, a problem a line."""


def load(path: Path) -> Configuration:
    """The configuration of one file. Raises ConfigurationError."""
    return configuration_of([read(path)])


def read(path: Path) -> Document:
    """A file's document, all of its problems looked for. Raises ConfigurationError, which names the file."""
    try:
        documents = list(yaml.documents(path.read_bytes()))
    except OSError as error:
        raise ConfigurationError(f"cannot read the kubelet configuration {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from None
    document = documents[0].value if len(documents) == 1 else None
    if not isinstance(document, dict) or document.get("kind") != KIND or document.get("apiVersion") != API_VERSION:
        raise ConfigurationError(f"{path} is not a {KIND} of {API_VERSION}")
    problems = [*documents[0].duplicates, *decode(document)[1]]
    if problems:
        raise ConfigurationError("\n".join(f"{path}: {problem}" for problem in problems))
    return document


def read_all(path: Path | None, folder: Path | None) -> list[Document]:
    """The file, then the drop-ins of --config-dir: `*.conf` of it and the folders in it, in order of their paths.

    See KEP-3983. Raises ConfigurationError.
    """
    found = [read(path)] if path is not None else []
    if folder is not None:
        if not folder.is_dir():
            raise ConfigurationError(f"cannot read the folder of kubelet configurations {folder}: no such directory")
        found += [read(file) for file in sorted(folder.rglob("*.conf")) if file.is_file()]
    return found


def configuration_of(documents: Iterable[Document], overrides: Mapping[str, Any] | None = None) -> Configuration:
    """Documents over each other, later ones first heard: maps are merged, lists replaced. Raises ConfigurationError.

    `overrides` (path -> value) outrank them, and replace a map as a whole; feature gates alone are merged.
    """
    merged: Document = {}
    for document in documents:
        merged = overlaid(merged, document)
    for path, value in (overrides or {}).items():
        *parents, name = path.split(".")
        within = merged
        for parent in parents:
            below = within.get(parent)
            within[parent] = dict(below) if isinstance(below, dict) else {}
            within = within[parent]
        within[name] = {**(within.get(name) or {}), **value} if path == "featureGates" else value
    config, problems = decode(merged)
    problems = problems or problems_of(config)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return config


# -- decoding ----------------------------------------------------------------------------------------------------------


def decode(document: Document) -> tuple[Configuration, list[str]]:
    """The configuration with upstream's defaults, and what is wrong with the document."""
    problems: list[str] = []
    fields = {name: value for name, value in document.items() if name not in ("apiVersion", "kind")}
    found = _struct(fields, _types(Configuration), "", problems)
    config = found if isinstance(found, Configuration) else Configuration()
    return _dependent(config, {name for name, value in fields.items() if value}), problems


def _dependent(config: Configuration, said: set[str]) -> Configuration:
    """Defaults that depend on other fields."""
    if "nodeStatusUpdateFrequency" in said and "nodeStatusReportFrequency" not in said:
        config = replace(config, node_status_report_frequency=config.node_status_update_frequency)
    if config.max_parallel_image_pulls is not None and config.max_parallel_image_pulls > 1:
        config = replace(config, serialize_image_pulls="serializeImagePulls" in said and config.serialize_image_pulls)
    if config.pod_pids_limit < 0:
        config = replace(config, pod_pids_limit=-1)
    if config.merge_default_eviction_settings:
        config = replace(config, eviction_hard={**EVICTION_HARD, **config.eviction_hard})
    return config


@cache
def _types(struct: type[Struct]) -> inspect.StructType:
    found = inspect.type_info(struct)
    assert isinstance(found, inspect.StructType)
    return found


_WRONG = object()


def _value(value: Any, kind: inspect.Type, path: str, problems: list[str]) -> Any:
    """The value as its type has it; _WRONG where it does not fit, said in `problems`."""
    if isinstance(kind, inspect.UnionType):
        kind = next(t for t in kind.types if not isinstance(t, inspect.NoneType))
    if isinstance(kind, inspect.Metadata):
        return _spelled(value, str((kind.extra or {}).get("go")), path, problems)
    if isinstance(kind, inspect.StructType):
        return _struct(value, kind, path, problems)
    if isinstance(kind, inspect.VarTupleType):
        if not isinstance(value, list):
            return _mismatch(value, "list", path, problems)
        items = [_value(item, kind.item_type, f"{path}[{at}]", problems) for at, item in enumerate(value)]
        return tuple(items)
    if isinstance(kind, inspect.DictType):
        if not isinstance(value, dict):
            return _mismatch(value, "map", path, problems)
        return {name: _value(item, kind.value_type, f"{path}.{name}", problems) for name, item in value.items()}
    return _scalar(value, kind, path, problems)


def _scalar(value: Any, kind: inspect.Type, path: str, problems: list[str]) -> Any:
    if isinstance(kind, inspect.BoolType):
        return value if isinstance(value, bool) else _mismatch(value, "bool", path, problems)
    if isinstance(kind, inspect.StrType):
        return value if isinstance(value, str) else _mismatch(value, "string", path, problems)
    if isinstance(value, bool) or not isinstance(value, int | float):
        name = "int" if isinstance(kind, inspect.IntType) else "float64"
        return _mismatch(value, name, path, problems)
    if isinstance(kind, inspect.FloatType):
        return float(value)
    return value if isinstance(value, int) else _mismatch(value, "int", path, problems)


def _spelled(value: Any, form: str, path: str, problems: list[str]) -> Any:
    """Durations and quantities, as Go spells them."""
    if form == "quantity":
        try:
            return quantity.canonical(value if isinstance(value, str) else str(value))
        except ValueError as error:
            problems.append(f"{path}: {error}")
            return _WRONG
    if form == "nanoseconds" and isinstance(value, int) and not isinstance(value, bool):
        return value / 10**9
    if not isinstance(value, str):
        return _mismatch(value, "duration", path, problems)
    try:
        return durations.seconds_of(value)
    except ValueError as error:
        problems.append(f"{path}: {error}")
        return _WRONG


def _struct(value: Any, info: inspect.StructType, path: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        return _mismatch(value, "map", path, problems)
    fields = {field.encode_name: field for field in info.fields}
    found: dict[str, Any] = {}
    for name, given in value.items():
        here = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is None:
            problems.append(f'unknown field "{here}"')
        elif given is not None:
            read = _value(given, field.type, here, problems)
            zero = isinstance(read, str | int | float) and not isinstance(read, bool) and not read
            if read is not _WRONG and (not zero or name in _ZERO_COUNTS):
                found[field.name] = read
    return info.cls(**found)


def _mismatch(value: Any, wanted: str, path: str, problems: list[str]) -> object:
    problems.append(f"{path}: cannot unmarshal {_GO.get(type(value), 'null')} into a field of type {wanted}")
    return _WRONG


# -- encoding ----------------------------------------------------------------------------------------------------------


def encode(config: Configuration) -> Document:
    """The effective configuration as /configz shows it: upstream's names, durations as Go writes them."""
    found = _encoded(config, _types(Configuration))
    assert isinstance(found, dict)
    return {"apiVersion": API_VERSION, "kind": KIND, **found}


def _encoded(value: Any, kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.UnionType):
        kind = next(t for t in kind.types if not isinstance(t, inspect.NoneType))
    if isinstance(kind, inspect.Metadata) and (kind.extra or {}).get("go") in ("duration", "nanoseconds"):
        return durations.text_of(value)
    if isinstance(kind, inspect.StructType):
        shown = {f.encode_name: (getattr(value, f.name), f.type) for f in kind.fields}
        return {name: _encoded(part, of) for name, (part, of) in shown.items() if _shown(part)}
    if isinstance(kind, inspect.VarTupleType):
        return [_encoded(item, kind.item_type) for item in value]
    if isinstance(value, Mapping):
        return {name: msgspec.to_builtins(item) for name, item in value.items()}
    return value


def _shown(value: Any) -> bool:
    """As omitempty: what is empty is left out; zeros and false are said."""
    return value is not None and value not in ("", (), {})
