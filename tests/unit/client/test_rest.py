import asyncio
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from tests.unit.client.fake import Script, pod, pods, status

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, core_v1, meta_v1
from pybernetes.client.rest import Client, target_of


def client(script: Script) -> Client:
    return Client(script, clock=SimulatedClock(asyncio.get_running_loop()))


def test_paths_are_those_of_the_api():
    assert target_of(core_v1.Pod).path("ns", "web", "status") == "/api/v1/namespaces/ns/pods/web/status"
    assert target_of(core_v1.Node).path("", "n1") == "/api/v1/nodes/n1"
    assert target_of(apps_v1.Deployment).path(None) == "/apis/apps/v1/deployments"


def test_get_decodes_and_refusals_are_api_errors():
    async def main() -> None:
        script = Script(pod("web", 3), (404, status(404, "NotFound", 'pods "x" not found'), {}))
        web = await client(script).of(core_v1.Pod).get(Key("default", "web"))
        assert web.metadata.uid == "uid-web"
        with pytest.raises(NotFound, match='pods "x" not found'):
            await client(script).of(core_v1.Pod).get("x", "default")

    run_simulated(main())


def test_a_refusal_with_retry_after_is_tried_again_when_it_says():
    async def main() -> None:
        script = Script((429, status(429, "TooManyRequests"), {"retry-after": "3"}), pod("web", 3))
        began = asyncio.get_running_loop().time()
        await client(script).of(core_v1.Pod).get("web", "default")
        assert asyncio.get_running_loop().time() - began == 3

    run_simulated(main())


def test_a_part_of_a_program_says_so_in_its_user_agent():
    async def main() -> None:
        script = Script(pod("web", 3))
        await (
            Client(script, clock=SimulatedClock(asyncio.get_running_loop()), user_agent="manager/1")
            .named("jobs")
            .of(core_v1.Pod)
            .get("web", "default")
        )
        assert script.requests[0].headers.get("user-agent") == "manager/1/jobs"

    run_simulated(main())


def test_a_list_is_paged_by_its_token():
    async def main() -> None:
        page = {**pods(5, pod("a", 1)), "metadata": {"resourceVersion": "5", "continue": "tok"}}
        script = Script(page, pods(5, pod("b", 2)))
        resource = client(script).of(core_v1.Pod)
        first = await resource.list(limit=1, labels="app=web")
        await resource.list(limit=1, after=first.after)
        assert script.asked() == [
            "GET /api/v1/pods?labelSelector=app%3Dweb&limit=1",
            "GET /api/v1/pods?limit=1&continue=tok",
        ]

    run_simulated(main())


def test_a_patch_carries_the_difference_and_the_uid_only():
    async def main() -> None:
        script = Script(pod("web", 4))
        resource = client(script).of(core_v1.Pod)
        old = resource.decode(orjson.dumps(pod("web", 3)))
        new = replace(old, metadata=replace(old.metadata, labels={"a": "b"}))
        await resource.patch(old, new, lock=True)
        assert script.requests[0].headers.get("content-type") == "application/strategic-merge-patch+json"
        assert orjson.loads(script.requests[0].body) == {
            "metadata": {"uid": "uid-web", "resourceVersion": "3", "labels": {"a": "b"}}
        }

    run_simulated(main())


def test_what_is_applied_names_its_manager_and_the_one_object():
    async def main() -> None:
        script = Script(pod("web", 4))
        resource = client(script).of(core_v1.Pod)
        old = resource.decode(orjson.dumps(pod("web", 3)))
        await resource.apply(old, {"status": {"reason": "Told"}}, "me", subresource="status")
        (sent,) = script.requests
        assert sent.target == "/api/v1/namespaces/default/pods/web/status?fieldManager=me&force=true"
        assert sent.headers.get("content-type") == "application/apply-patch+yaml"
        assert orjson.loads(sent.body) == {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "uid": "uid-web"},
            "status": {"reason": "Told"},
        }  # fmt: skip

    run_simulated(main())


def test_nothing_is_sent_when_nothing_differs():
    async def main() -> None:
        script = Script()
        resource = client(script).of(core_v1.Pod)
        old = resource.decode(orjson.dumps(pod("web", 3)))
        assert await resource.patch(old, old) is old
        assert script.requests == []

    run_simulated(main())


def test_delete_sends_preconditions():
    async def main() -> None:
        script = Script((409, status(409, "Conflict"), {}))
        with pytest.raises(Conflict):
            await client(script).of(core_v1.Pod).delete(Key("d", "web"), grace=0, uid="u", propagation="Background")
        assert orjson.loads(script.requests[0].body) == {
            "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "propagationPolicy": "Background",
        }  # fmt: skip

    run_simulated(main())


def test_what_is_created_says_its_kind():
    async def main() -> None:
        script = Script({**pod("web", 1), "kind": "Namespace"})
        sent: Any = core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="web"))
        await client(script).of(core_v1.Namespace).create(sent)
        body = orjson.loads(script.requests[0].body)
        assert (body["apiVersion"], body["kind"], body["metadata"]["name"]) == ("v1", "Namespace", "web")

    run_simulated(main())
