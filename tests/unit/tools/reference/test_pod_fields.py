"""The law "no field without a reader": who counts as a reader, and what breaks it. Tried on a source tree of its own."""

import pytest
from tools.reference.pod_fields import Copy, Record, Row, faults, page, table
from tools.reference.pod_readers import Readers, find_readers

SOURCE = """
from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api.types import core_v1


class Writer:
    def address(self, pod: core_v1.Pod) -> str:
        def first(aliases: Iterable[core_v1.HostAlias]) -> str:
            return next((alias.ip for alias in aliases), "")

        return first(pod.spec.hostAliases)


def either(probe: core_v1.TCPSocketAction | core_v1.HTTPGetAction | None) -> object:
    return probe.port if probe is not None else None


def narrowed(source: object) -> str:
    return source.name if isinstance(source, core_v1.Sysctl) else ""


class Other:
    hostnames = "no field of the API"


def unrelated(other: Other, spec: Mapping[str, Any]) -> object:
    return other.hostnames, spec["priorityClassName"], spec.get("value")


LIMIT = core_v1.EphemeralContainer().image
"""


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Readers:
    root = tmp_path_factory.mktemp("project")
    (root / "src").mkdir()
    (root / "src" / "acting.py").write_text(SOURCE)
    return find_readers(root, ["src/acting.py"])


def record(**fields: object) -> Record:
    return Record(**{"acting": (), **fields})  # type: ignore[arg-type]  # fields by name


def of(readers: Readers, type: str, **fields: object) -> list[str]:
    law = record(**fields)
    return faults(table(readers, law, f"io.k8s.api.core.v1.{type}"), law)


def test_reads_are_told_by_the_type_of_what_is_read(readers: Readers) -> None:
    assert readers.typed["core_v1.HostAlias", "ip"] == {"acting.Writer.address"}
    assert readers.typed["core_v1.PodSpec", "hostAliases"] == {"acting.Writer.address"}
    assert readers.typed["core_v1.TCPSocketAction", "port"] == {"acting.either"}
    assert readers.typed["core_v1.HTTPGetAction", "port"] == {"acting.either"}
    assert readers.typed["core_v1.Sysctl", "name"] == {"acting.narrowed"}
    assert readers.typed["core_v1.EphemeralContainer", "image"] == {"acting"}
    assert ("core_v1.HostAlias", "hostnames") not in readers.typed


def test_a_field_that_nothing_reads_is_found(readers: Readers) -> None:
    assert of(readers, "HostAlias") == [
        "HostAlias.hostnames: nothing reads it: act on it, or say in pod_fields.yaml why not"
    ]
    assert of(readers, "HostAlias", excused={"HostAlias.hostnames": "why"}) == []


def test_an_excuse_for_what_is_read_or_is_not_there_is_found(readers: Readers) -> None:
    excused = {"HostAlias.hostnames": "why", "HostAlias.ip": "why", "HostAlias.gone": "why"}
    assert of(readers, "HostAlias", excused=excused) == [
        "HostAlias.gone: excused in pod_fields.yaml, but there is no such field",
        "HostAlias.ip: excused in pod_fields.yaml, but acting.Writer.address reads it",
    ]


def test_dicts_are_read_by_key_where_the_record_says_so(readers: Readers) -> None:
    excused = {"Sysctl.name": ""}
    assert of(readers, "Sysctl", by_key={"Sysctl.value": "acting"}) == []
    assert of(readers, "Sysctl", by_key={"Sysctl.value": "elsewhere"}) == [
        "Sysctl.value: elsewhere does not read it, whatever pod_fields.yaml says",
        "Sysctl.value: nothing reads it: act on it, or say in pod_fields.yaml why not",
    ]
    assert of(readers, "Sysctl", excused=excused)[0].startswith("Sysctl.value: nothing reads it")


def test_a_type_that_is_copied_has_the_readers_of_the_other(readers: Readers) -> None:
    def unread(by: str) -> list[str]:
        found = of(readers, "HTTPHeader", copies={"HTTPHeader": Copy("core_v1.Sysctl", by)})
        return [fault.partition(":")[0] for fault in found]

    assert unread("acting.narrowed") == ["HTTPHeader.value"]
    assert unread("acting.no_such_function") == ["HTTPHeader.name", "HTTPHeader.value"]


def test_what_only_an_excused_field_leads_to_is_not_looked_at(readers: Readers) -> None:
    law = record(excused={"TopologySpreadConstraint.labelSelector": "why"})
    rows = table(readers, law, "io.k8s.api.core.v1.TopologySpreadConstraint")
    assert {row.type for row in rows} == {"TopologySpreadConstraint"}
    assert "| labelSelector | - why |" in page(rows)


def test_a_reader_that_was_named_stays_named_while_it_reads() -> None:
    both = page([Row("T", "a", ("x.first", "x.second", "x.third"))])
    assert "| a | `x.first`, `x.second` |" in both
    later = page([Row("T", "a", ("x.zeroth", "x.second", "x.third"))], both)
    assert "| a | `x.second` |" in later
    gone = page([Row("T", "a", ("x.zeroth",))], later)
    assert "| a | `x.zeroth` |" in gone
