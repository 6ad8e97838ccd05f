"""The table of what each field of KubeletConfiguration does."""

import re
from pathlib import Path

import pytest
from msgspec import inspect

import pybernetes
from pybernetes.kubelet.configuration import Configuration, Part
from pybernetes.kubelet.configuration_effects import EFFECTS, Kind, refusals, warnings
from pybernetes.kubelet.configuration_file import decode

TABLES = ("configuration.py", "configuration_rules.py", "configuration_effects.py")


def leaves(struct: type[Part], path: str = "") -> dict[str, str]:
    """Wire path -> attribute name of every field that is no struct of ours."""
    found = {}
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        here = f"{path}.{field.encode_name}" if path else field.encode_name
        kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        inner = [k.cls for k in kinds if isinstance(k, inspect.StructType) and issubclass(k.cls, Part)]
        found.update(leaves(inner[0], here) if inner else {here: field.name})
    return found


def test_every_field_has_a_row_and_no_row_lacks_a_field() -> None:
    assert set(leaves(Configuration)) == set(EFFECTS)


def test_what_is_called_honoured_is_read_somewhere() -> None:
    """A row that promises something has a reader in the code."""
    folder = Path(pybernetes.__file__).parent
    files = [*(folder / "kubelet").rglob("*.py"), *(folder / "cmd").glob("*kubelet*.py")]
    code = "\n".join(f.read_text() for f in files if f.name not in TABLES)
    unread = [p for p, name in leaves(Configuration).items()
              if EFFECTS[p].kind is Kind.HONOURED and not re.search(rf"\.{name}\b", code)]  # fmt: skip
    assert not unread


@pytest.mark.parametrize(
    ("said", "why"),
    [({"cgroupDriver": "systemd"}, 'cgroupDriver "systemd" is not supported: cgroups are made in the file system'),
     ({"cpuManagerPolicy": "static"}, 'cpuManagerPolicy "static" is not supported: '),
     ({"memorySwap": {"swapBehavior": "LimitedSwap"}}, 'memorySwap.swapBehavior "LimitedSwap" is not supported: '),
     ({"userNamespaces": {"idsPerPod": 131072}}, "userNamespaces.idsPerPod 131072 is not supported: "),
     ({"imageServiceEndpoint": "unix:///x"}, 'imageServiceEndpoint "unix:///x" is not supported: ')],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(said: dict[str, object], why: str) -> None:
    (line,) = refusals(decode(said)[0])
    assert line.startswith(why)


def test_what_means_the_default_is_no_fault() -> None:
    said = {
        "memorySwap": {"swapBehavior": "NoSwap"},
        "userNamespaces": {"idsPerPod": 65536},
        "containerRuntimeEndpoint": "unix:///x",
        "imageServiceEndpoint": "unix:///x",
        "singleProcessOOMKill": True,
        "topologyManagerScope": "pod",
    }
    config, problems = decode(said)
    assert not problems
    assert refusals(config) == []
    assert warnings(config) == []


def test_what_has_no_effect_is_said() -> None:
    config, _ = decode({"eventRecordQPS": 7, "kubeAPIQPS": 0, "maxPods": 5})
    assert [line.partition(":")[0] for line in warnings(config)] == [
        "eventRecordQPS 7 has no effect", "kubeAPIQPS 0 has no effect"
    ]  # fmt: skip
