"""docs/howto/store.md, walked through with a cluster: a damaged store is refused, a snapshot heals it, nobody is misled."""

import re
import shlex
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pybernetes.api.errors import Expired, NotFound
from pybernetes.api.types import apps_v1, core_v1, meta_v1
from pybernetes.apiserver.config import Config
from pybernetes.assembly.cluster import until
from pybernetes.client.rest import Client
from pybernetes.cmd import pybernetes as command
from pybernetes.store.protocol import Unavailable
from pybernetes.store.sqlite import open_sqlite
from pybernetes.testing import Cluster
from pybernetes.wire.pki.keys import new_rsa_key

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "store.md"
KEY = new_rsa_key()


def documented() -> list[str]:
    """The commands of the page's shell blocks, in order."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", PAGE.read_text(), re.M | re.S)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


@asynccontextmanager
async def cluster(path: Path):
    """A cluster with one simulated node on the store at `path`."""
    store = await open_sqlite(str(path))
    try:
        async with Cluster(store=store, api=Config(signing_key=KEY)) as c:
            yield c.client()
    finally:
        await store.close()


def config_map(name: str) -> core_v1.ConfigMap:
    return core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), data={"a": "b"})


def deployment() -> apps_v1.Deployment:
    labels, containers = {"app": "web"}, (core_v1.Container(name="main", image="web"),)
    template = core_v1.PodTemplateSpec(
        metadata=meta_v1.ObjectMeta(labels=labels), spec=core_v1.PodSpec(containers=containers)
    )
    return apps_v1.Deployment(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default"),
        spec=apps_v1.DeploymentSpec(replicas=2, selector=meta_v1.LabelSelector(matchLabels=labels), template=template),
    )


async def available(client: Client) -> None:
    await until(
        client, apps_v1.Deployment, lambda found: any(d.status.availableReplicas == 2 for d in found), "available"
    )


async def test_the_page_heals_a_damaged_store_and_moves_it(tmp_path, capsys):
    path, elsewhere = tmp_path / "pybernetes" / "store.db", tmp_path / "srv" / "store.db"

    async def typed(line: str) -> str:
        """Types a command of the page; paths are of this test."""
        line = line.replace("/var/lib/pybernetes/store.db", str(path)).replace("/srv/store.db", str(elsewhere))
        words = shlex.split(line.replace("cluster.dump", str(tmp_path / "cluster.dump")))
        assert words.pop(0) == "pybernetes"
        options = command._parser().parse_args(words)
        if hasattr(options, "storage_path"):
            options.storage_path = path
        assert await options.run(options) == 0, capsys.readouterr()
        return capsys.readouterr().out

    save, show, restore, dump, restore_dump, migrate = documented()

    async with cluster(path) as client:
        maps = client.of(core_v1.ConfigMap)
        kept = await maps.create(config_map("kept"))
        await client.of(apps_v1.Deployment).create(deployment())
        await available(client)
        assert "saved " in await typed(save)
        assert "whole" in await typed(show)
        await maps.create(config_map("later"))
        await client.raw("DELETE", "/apis/apps/v1/namespaces/default/deployments/web")
        await until(client, core_v1.Pod, lambda pods: not pods, "no Pods", namespace="default")
        seen = (await maps.list("default")).revision

    data = path.read_bytes()
    path.write_bytes(data[:8192] + bytes(4096) + data[12288:])
    with pytest.raises(Unavailable, match=rf"is damaged .*`pybernetes store snapshot restore --storage-path {path}`"):
        async with cluster(path):
            pass

    assert "the store of before is kept as" in await typed(restore)
    async with cluster(path) as client:
        maps = client.of(core_v1.ConfigMap)
        found = await maps.get("kept", "default")
        assert (found.data, found.metadata.resourceVersion) == ({"a": "b"}, kept.metadata.resourceVersion)
        with pytest.raises(NotFound):
            await maps.get("later", "default")
        with pytest.raises(Expired):
            await anext(maps.watch(seen, "default"))
        await available(client)
        fresh = await maps.create(config_map("fresh"))
        assert int(fresh.metadata.resourceVersion) > int(seen) + 999_999_999

    await typed(dump)
    await typed(restore_dump)
    await typed(migrate)
    async with cluster(elsewhere) as client:
        assert {"kept", "fresh"} <= {
            one.metadata.name for one in (await client.of(core_v1.ConfigMap).list("default")).items
        }
        await available(client)
