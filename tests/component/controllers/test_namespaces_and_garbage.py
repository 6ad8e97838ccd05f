"""Namespaces, the objects each of them has, and garbage collection with the real API server."""

import orjson
from tests.component.controllers.world import MANAGER, World, authority, deployment, simulated, template, world

from pybernetes.api.errors import ApiError, Conflict, Forbidden
from pybernetes.api.types import apps_v1, core_v1
from pybernetes.controllers.root_ca_certificate_publisher import DESCRIPTION, TEXT
from pybernetes.wire.http import Request, Response, read_body

CA = "kube-root-ca.crt"


@simulated
async def test_every_namespace_has_an_account_and_the_root_ca_also_after_they_are_deleted():
    async with world(nodes=0) as w:
        await w.create(core_v1.Namespace, "new")
        await w.until(lambda: w.there(core_v1.ServiceAccount, "default", "new"))
        await w.until(lambda: w.there(core_v1.ConfigMap, CA, "new"))
        assert (await w.get(core_v1.ConfigMap, CA, "new")).data["ca.crt"] == authority().pem.decode()
        await w.delete(core_v1.ServiceAccount, "default", "new")
        await w.patch(core_v1.ConfigMap, CA, {"data": {"ca.crt": "bad"}}, "new")
        await w.clock.sleep(1)
        assert await w.there(core_v1.ServiceAccount, "default", "new")
        assert (await w.get(core_v1.ConfigMap, CA, "new")).data["ca.crt"] == authority().pem.decode()


@simulated
async def test_the_root_ca_may_be_described_in_other_words_but_not_in_none():
    async with world(nodes=0) as w:
        await w.until(lambda: w.there(core_v1.ConfigMap, CA))

        async def described(text: str | None) -> str:
            await w.patch(core_v1.ConfigMap, CA, {"metadata": {"annotations": {DESCRIPTION: text}}})
            await w.clock.sleep(2)
            return (await w.get(core_v1.ConfigMap, CA)).metadata.annotations[DESCRIPTION]

        assert await described("ours") == "ours"
        assert await described(None) == TEXT


@simulated
async def test_a_namespace_goes_with_all_that_is_in_it():
    async with world() as w:
        await w.create(core_v1.Namespace, "gone")
        await w.until(lambda: w.there(core_v1.ServiceAccount, "default", "gone"))
        spec = {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": template(app="x")}
        await w.create(apps_v1.Deployment, "x", "gone", spec=spec)
        await w.create(core_v1.ConfigMap, "c", "gone", data={"a": "b"})
        await w.clock.sleep(5)
        await w.delete(core_v1.Namespace, "gone", "")
        await w.until(lambda: absent(w, "gone"))
        for kind in (core_v1.Pod, core_v1.ConfigMap, core_v1.ServiceAccount, apps_v1.Deployment, apps_v1.ReplicaSet):
            assert await w.all(kind, "gone") == ()
        assert await w.there(core_v1.ServiceAccount, "default")


async def absent(w: World, name: str) -> bool:
    return not await w.there(core_v1.Namespace, name, "")


@simulated
async def test_a_namespace_that_something_holds_says_what():
    async with world(nodes=0) as w:
        await w.create(core_v1.Namespace, "held")
        await w.create(core_v1.ConfigMap, "c", "held", metadata={"finalizers": ["example.com/mine"]})
        await w.delete(core_v1.Namespace, "held", "")
        await w.clock.sleep(5)
        namespace = await w.get(core_v1.Namespace, "held", "")
        conditions = {c.type: (c.status, c.reason, c.message) for c in namespace.status.conditions}
        assert conditions["NamespaceContentRemaining"] == (
            "True", "SomeResourcesRemain", "Some resources are remaining: configmaps. has 1 resource instances",
        )  # fmt: skip
        assert conditions["NamespaceFinalizersRemaining"][2] == (
            "Some content in the namespace has finalizers remaining: example.com/mine in 1 resource instances"
        )
        assert conditions["NamespaceDeletionDiscoveryFailure"] == (
            "False", "ResourcesDiscovered", "All resources successfully discovered",
        )  # fmt: skip
        await w.patch(core_v1.ConfigMap, "c", {"metadata": {"finalizers": None}}, "held")
        await w.until(lambda: absent(w, "held"))


async def namespace_conditions(w: World, name: str) -> dict[str, tuple[str, str, str]]:
    found = (await w.get(core_v1.Namespace, name, "")).status.conditions
    return {c.type: (c.status, c.reason, c.message) for c in found}


@simulated
async def test_a_pod_that_does_not_end_holds_its_namespace_and_is_a_failure_once_its_time_is_over():
    async with world(nodes=1) as w:
        await w.create(core_v1.Namespace, "stuck")
        await w.until(lambda: w.there(core_v1.ServiceAccount, "default", "stuck"))
        pod = {"containers": [{"name": "c", "image": "i"}], "nodeName": "node-1", "terminationGracePeriodSeconds": 20}
        await w.create(core_v1.Pod, "p", "stuck", spec=pod)
        await w.create(core_v1.ConfigMap, "c", "stuck")
        await w.clock.sleep(3)
        await w.node_down("node-1")
        await w.delete(core_v1.Namespace, "stuck", "")
        await w.clock.sleep(5)
        fine = ("False", "ContentDeleted", "All content successfully deleted, may be waiting on finalization")
        assert (await namespace_conditions(w, "stuck"))["NamespaceDeletionContentFailure"] == fine
        await w.clock.sleep(20)
        told = "unexpected items still remain in namespace: stuck for gvr: /v1, Resource=pods"
        assert (await namespace_conditions(w, "stuck"))["NamespaceDeletionContentFailure"] == (
            "True", "ContentDeletionFailed", f"Failed to delete all resource types, 1 remaining: {told}",
        )  # fmt: skip
        assert await w.there(core_v1.ConfigMap, "c", "stuck")
        await w.delete(core_v1.Pod, "p", "stuck", grace=0)
        await w.until(lambda: absent(w, "stuck"))


@simulated
async def test_what_cannot_be_deleted_is_told_in_the_servers_words():
    async with world(nodes=0) as w:
        await w.create(core_v1.Namespace, "held")
        await w.create(core_v1.ConfigMap, "c", "held")

        def refuse(request: Request) -> ApiError | None:
            deletes = request.method == "DELETE" and "/configmaps" in request.path
            return Forbidden("configmaps is forbidden: not today") if deletes else None

        w.wire.refuse = refuse
        await w.delete(core_v1.Namespace, "held", "")
        await w.clock.sleep(3)
        message = (await namespace_conditions(w, "held"))["NamespaceDeletionContentFailure"][2]
        assert message == "Failed to delete all resource types, 1 remaining: configmaps is forbidden: not today"
        w.wire.refuse = lambda request: None
        await w.until(lambda: absent(w, "held"))


@simulated
async def test_a_group_whose_server_does_not_answer_holds_namespaces_and_is_named():
    async with world(nodes=0) as w:
        await w.create(core_v1.Namespace, "held")

        async def serve(request: Request) -> Response | None:
            if request.path != "/apis":
                return None
            answer = await w.as_user(MANAGER).transport(request)
            found = orjson.loads(await read_body(answer))
            gone = {"version": "v1beta1", "resources": [], "freshness": "Stale"}
            found["items"].append({"metadata": {"name": "metrics.k8s.io"}, "versions": [gone]})
            return Response(answer.status, headers=answer.headers, body=orjson.dumps(found))

        w.wire.serve = serve
        await w.delete(core_v1.Namespace, "held", "")
        await w.clock.sleep(3)
        group = "metrics.k8s.io/v1beta1"
        why = f"unable to retrieve the complete list of server APIs: {group}: stale GroupVersion discovery: {group}"
        assert (await namespace_conditions(w, "held"))["NamespaceDeletionDiscoveryFailure"] == (
            "True", "DiscoveryFailed", f"Discovery failed for some groups, 1 failing: {why}",
        )  # fmt: skip
        w.wire.serve = None
        await w.until(lambda: absent(w, "held"))


@simulated
async def test_background_deletion_takes_dependents_and_theirs_along():
    async with world() as w:
        await deployment(w)
        await w.clock.sleep(5)
        await w.delete(apps_v1.Deployment, "web", propagation="Background")
        assert not await w.there(apps_v1.Deployment, "web")
        await w.clock.sleep(5)
        assert await w.all(apps_v1.ReplicaSet) == ()
        assert await w.pods() == []


@simulated
async def test_foreground_deletion_ends_with_the_owner():
    async with world() as w:
        await deployment(w)
        await w.clock.sleep(5)
        await w.delete(apps_v1.Deployment, "web", propagation="Foreground")
        held = await w.get(apps_v1.Deployment, "web")
        assert held.metadata.finalizers == ("foregroundDeletion",)

        async def gone() -> bool:
            if await w.there(apps_v1.Deployment, "web"):
                return False
            assert await w.all(core_v1.Pod) == ()
            return True

        await w.until(gone)
        assert await w.all(apps_v1.ReplicaSet) == ()


@simulated
async def test_orphaning_keeps_every_dependent_despite_conflicts():
    async with world() as w:
        spec = {"replicas": 30, "selector": {"app": "rc"}, "template": template(app="rc")}
        await w.create(core_v1.ReplicationController, "rc", spec=spec)
        await w.clock.sleep(10)
        refused = set[str]()

        def sometimes(request: Request) -> ApiError | None:
            if request.method == "PATCH" and "/pods/" in request.path and request.path not in refused:
                refused.add(request.path)
                return Conflict("the object has been modified")
            return None

        w.wire.refuse = sometimes
        await w.delete(core_v1.ReplicationController, "rc", propagation="Orphan")
        await w.until(lambda: absent_rc(w))
        await w.clock.sleep(60)
        pods = await w.pods()
        assert len(pods) == 30
        assert all(p.metadata.ownerReferences == () for p in pods)


async def absent_rc(w: World) -> bool:
    return not await w.there(core_v1.ReplicationController, "rc")


@simulated
async def test_an_object_with_one_owner_left_stays_and_one_with_none_goes():
    async with world(nodes=0) as w:
        owner = await w.create(core_v1.ConfigMap, "owner")
        live = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
        dead = {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "no-such-uid"}
        foreign = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": "other"}
        await w.create(core_v1.ConfigMap, "half", metadata={"ownerReferences": [live, dead]})
        await w.create(core_v1.ConfigMap, "none", metadata={"ownerReferences": [dead]})
        await w.create(core_v1.ConfigMap, "unknown", metadata={"ownerReferences": [foreign]})
        await w.clock.sleep(30)
        assert not await w.there(core_v1.ConfigMap, "none")
        assert await w.there(core_v1.ConfigMap, "unknown")
        half = await w.get(core_v1.ConfigMap, "half")
        assert [ref.uid for ref in half.metadata.ownerReferences] == [owner.metadata.uid]
        await w.delete(core_v1.ConfigMap, "owner")
        await w.clock.sleep(5)
        assert not await w.there(core_v1.ConfigMap, "half")


@simulated
async def test_a_namesake_of_an_owner_is_not_the_owner():
    async with world(nodes=0) as w:
        await w.create(core_v1.ConfigMap, "owner")
        other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "of-its-predecessor"}
        await w.create(core_v1.ConfigMap, "child", metadata={"ownerReferences": [other]})
        await w.clock.sleep(5)
        assert not await w.there(core_v1.ConfigMap, "child")
        assert await w.there(core_v1.ConfigMap, "owner")
