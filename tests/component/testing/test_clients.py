"""The clients that people use, on a cluster inside the test: an ordinary day of each, in the loop that the cluster runs in."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import kopf
import pytest
from tests.component.testing.manifests import SHOP
from tests.component.testing.programs import PROGRAMS, Opened, Program

from pybernetes.api.objects import Object
from pybernetes.testing import Cluster, SyncCluster
from pybernetes.wire.codecs import yaml

pytestmark = pytest.mark.filterwarnings("ignore:Kubernetes version v1.37.0 is not supported:UserWarning")
"""What kr8s says of every server newer than itself."""

DEFINITION, CORNER = yaml.load_all(SHOP.encode())
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "web", "image": "web"}]},
}
VIEWERS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "viewers"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
    "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}],
}


def config_map(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


every_program = pytest.mark.parametrize("opened", PROGRAMS.values(), ids=PROGRAMS.keys())


@every_program
async def test_an_ordinary_day(opened: Callable[[Path], Opened]) -> None:
    async with Cluster() as cluster, opened(cluster.kubeconfig()) as program:
        await program.create(config_map(a="1"))
        assert await program.names("ConfigMap") == ["kube-root-ca.crt", "one"]
        assert (await program.get("ConfigMap", "one"))["data"] == {"a": "1"}
        await its_watch_sees_a_patch(program)
        await its_apply_owns_fields(program)

        await program.create(DEFINITION)
        await cluster.wait("crd/shops.example.org", "condition=Established")
        await program.create(CORNER)
        await program.patch("Shop", "corner", {"spec": {"doors": 3}})
        assert (await program.get("Shop", "corner"))["spec"] == {"doors": 3}
        assert await program.names("Shop") == ["corner"]
        with pytest.raises(Exception, match=r"must be of type integer|Invalid"):
            await program.patch("Shop", "corner", {"spec": {"doors": "many"}})

        await program.create(POD)
        await cluster.wait("pod/web", "condition=Ready")
        await cluster.pod("web").log("hello")
        assert (await program.logs("web")).strip().endswith("hello")


async def its_watch_sees_a_patch(program: Program) -> None:
    async with asyncio.timeout(30), aclosing(program.watch("ConfigMap")) as events:
        async for kind, found in events:
            if found["metadata"]["name"] == "one" and kind == "ADDED":
                await program.patch("ConfigMap", "one", {"data": {"b": "2"}})
            elif found["metadata"]["name"] == "one":
                assert (kind, found["data"]) == ("MODIFIED", {"a": "1", "b": "2"})
                return
    raise AssertionError("the watch ended")


async def its_apply_owns_fields(program: Program) -> None:
    await program.apply(config_map(c="1"), "first")
    with pytest.raises(Exception, match=r"conflict|409"):
        await program.apply(config_map(c="2"), "second")
    await program.apply(config_map(d="1"), "first")
    assert (await program.get("ConfigMap", "one"))["data"] == {"a": "1", "b": "2", "d": "1"}


@every_program
async def test_another_user_may_do_what_rbac_says(opened: Callable[[Path], Opened]) -> None:
    async with Cluster() as cluster, opened(cluster.kubeconfig("jane")) as program:
        with pytest.raises(Exception, match=r'jane\\?" cannot list resource \\?"configmaps|[Ff]orbidden|403'):
            await program.names("ConfigMap")
        cluster.audit.assert_count(at_least=1, user="jane", verb="list", resource="configmaps", code=403)
        await cluster.apply(VIEWERS)
        assert await program.names("ConfigMap") == ["kube-root-ca.crt"]
        with pytest.raises(Exception, match=r"cannot create|[Ff]orbidden|403"):
            await program.create(config_map())


async def test_an_operator_of_kopf_in_the_loop_of_its_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = kopf.OperatorRegistry()
    said: list[str] = []
    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)

    @kopf.on.create("example.org", "v1", "shops", registry=registry)
    def opens(spec: kopf.Spec, patch: kopf.Patch, **_: Any) -> None:
        patch.status["open"] = spec["doors"]

    @kopf.on.delete("example.org", "v1", "shops", registry=registry)
    def closes(name: str, **_: Any) -> None:
        said.append(f"{name} closes")

    async with Cluster() as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig()))
        await cluster.apply(
            SHOP.replace("properties: {", "x-kubernetes-preserve-unknown-fields: true, properties: {", 1)
        )
        stop = asyncio.Event()
        running = asyncio.create_task(
            kopf.operator(registry=registry, standalone=True, namespaces=["default"], stop_flag=stop)
        )
        try:
            await cluster.wait("shop/corner", "jsonpath={.status.open}=2")
            await cluster.raw("DELETE", "/apis/example.org/v1/namespaces/default/shops/corner")
            await cluster.wait("shop/corner", "delete")
        finally:
            stop.set()
            await running
    assert said == ["corner closes"]


@every_program
async def test_the_cluster_of_the_plugin(
    opened: Callable[[Path], Opened], cluster: SyncCluster, namespace: str
) -> None:
    """Which runs in another thread, and is shared."""
    cluster.apply(config_map(a="1"), namespace=namespace)
    async with opened(cluster.kubeconfig()) as program:
        assert await program.names("ConfigMap") == ["kube-root-ca.crt"], "the namespace `default`, where nothing is"
