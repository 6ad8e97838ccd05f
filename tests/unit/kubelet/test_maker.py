"""What is gathered for a Pod before its requests are made."""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.kubelet.fakes import FakeSources
from tests.unit.kubelet.pods import container, pod, run

from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import Handler
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.maker import Maker, Stores, target_of
from pybernetes.kubelet.settings import Settings


def maker(resolv_conf: Path | str = "", handlers: Iterable[Handler] = (), **classes: str) -> Maker:
    sources = FakeSources()
    sources.runtime_classes = classes
    nobody: Any = SimpleNamespace(parent=lambda pod: "/kubepods/x")
    stores = Stores(sources, nobody, nobody, nobody, nobody, lambda: handlers)
    return Maker(stores, Settings("n1", ("192.0.2.1",), config=Configuration(resolv_conf=str(resolv_conf))))


async def test_the_handler_of_a_runtime_class_is_that_of_its_object() -> None:
    spec, _ = await maker(sandboxed="runsc").sandbox(pod(runtimeClassName="sandboxed"), 0)
    assert spec.runtime_handler == "runsc"
    assert (await maker().sandbox(pod(), 0))[0].runtime_handler == ""
    with pytest.raises(ConfigError, match=r'^runtimeclass.node.k8s.io "gone" not found$'):
        await maker().sandbox(pod(runtimeClassName="gone"), 0)


async def test_what_a_handler_cannot_do_is_asked_of_that_handler() -> None:
    wanted = pod(runtimeClassName="own", hostUsers=False)
    able = maker(handlers=[Handler(), Handler("runsc", user_namespaces=True)], own="runsc")
    assert (await able.sandbox(wanted, 0))[0].runtime_handler == "runsc"
    with pytest.raises(ConfigError, match='RuntimeClass handler "runc" does not support user namespaces'):
        await maker(handlers=[Handler(user_namespaces=True)], own="runc").sandbox(wanted, 0)


async def test_the_nodes_resolv_conf_must_be_there_where_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    with pytest.raises(ConfigError, match=r"^open .*/resolv.conf: no such file or directory$"):
        await maker(file).sandbox(pod(dnsPolicy="Default"), 0)
    file.write_text("nameserver 192.0.2.53\n")
    spec, dns = await maker(file).sandbox(pod(dnsPolicy="Default"), 0)
    assert spec.dns_servers == dns.servers == ("192.0.2.53",)
    assert (await maker().same_sandbox(pod(dnsPolicy="Default"), 0)).dns_servers == ("127.0.0.1",)


def test_an_ephemeral_container_looks_at_the_newest_run_of_its_target() -> None:
    guest = core_v1.EphemeralContainer(name="debug", targetContainerName="c")
    wanted = pod(container(), ephemeralContainers=(guest,))
    assert target_of(wanted, "debug", [run("c", 1), run("c", 0)]) == "c1"
    assert target_of(wanted, "c", [run("c", 0)]) == ""
    with pytest.raises(ConfigError, match=r"^unable to find target container c$"):
        target_of(wanted, "debug", [])
