"""List, watch and create with pybernetes.client, against a cluster inside this process. Run it: `python main.py`.

With a cluster that is up already, take the transport of its kubeconfig instead:
`Client(kubeconfig.transport_of(kubeconfig.load(path)), clock=SystemClock())`.
"""

import asyncio
from contextlib import aclosing

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.testing import Cluster


async def main() -> None:
    """Creates a Pod, follows it until it runs, changes a label, lists, deletes."""
    async with Cluster(nodes=1) as cluster:
        pods = cluster.client().of(core_v1.Pod)
        before = await pods.list("default")
        print(f"pods before: {len(before.items)}")

        container = core_v1.Container(name="web", image="gasbugs/http-go")
        metadata = meta_v1.ObjectMeta(name="from-python", namespace="default", labels={"app": "web"})
        created = await pods.create(core_v1.Pod(metadata=metadata, spec=core_v1.PodSpec(containers=(container,))))
        key = Key("default", "from-python")
        print(f"created {key} uid {created.metadata.uid}")

        # A watch that begins where the list ended misses nothing.
        phase = ""
        async with aclosing(pods.watch(before.revision, "default")) as events:
            async for event in events:
                if event.object is not None and event.object.status.phase != phase:
                    phase = event.object.status.phase
                    print(f"{event.type.lower()}: {phase} on {event.object.spec.nodeName or 'no node yet'}")
                if phase == "Running":
                    break

        # Writes are patches: fields that this program does not know are kept.
        await pods.patch_raw(key, {"metadata": {"labels": {"app": "shop"}}})
        listed = await pods.list("default", labels="app=shop")
        print(f"pods of the shop: {[pod.metadata.name for pod in listed.items]}")
        await pods.delete(key)


if __name__ == "__main__":
    asyncio.run(main())
