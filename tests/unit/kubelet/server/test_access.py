"""Who may use the kubelet's API."""

import orjson
import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.api.errors import Forbidden, Unauthorized
from pybernetes.api.objects import User
from pybernetes.client.rest import Client
from pybernetes.kubelet.server.access import Access, subresources
from pybernetes.wire.http import Headers, Peer, Request, Response

ADMIN = User("admin", groups=("ops",))


class Reviews:
    """An API server that only reviews."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[str] = []

    async def __call__(self, request: Request) -> Response:
        body = orjson.loads(request.body)
        if request.path.endswith("tokenreviews"):
            known = body["spec"]["token"] == "good"
            body["status"] = {"authenticated": known, "user": {"username": "robot"} if known else {}}
            self.asked.append("token")
        else:
            wanted = body["spec"]["resourceAttributes"]
            self.asked.append(f"{body['spec']['user']} {wanted['verb']} {wanted['subresource']}")
            body["status"] = {"allowed": wanted["subresource"] in self.allowed}
        return Response(201, Headers(), orjson.dumps(body))


def access(reviews: Reviews) -> Access:
    clock = SystemClock()
    return Access(Client(reviews, clock=clock), "n1", clock)


def request(path: str, user: User | None = ADMIN, token: str = "", method: str = "GET") -> Request:
    headers = Headers([("authorization", f"Bearer {token}")] if token else [])
    return Request(method, path, headers, peer=Peer(user=user))


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/stats/summary", ("stats",)),
        ("/metrics/cadvisor", ("metrics",)),
        ("/logs/x", ("log",)),
        ("/pods", ("pods", "proxy")),
        ("/exec/ns/p/c", ("proxy",)),
        ("/containerLogs/ns/p/c", ("proxy",)),
    ],
)
def test_paths_are_subresources_of_nodes(path: str, wanted: tuple[str, ...]) -> None:
    assert subresources(path) == wanted


async def test_anonymous_requests_are_refused() -> None:
    with pytest.raises(Unauthorized):
        await access(Reviews("proxy")).check(request("/pods", user=None))


async def test_the_api_server_decides_and_is_asked_once() -> None:
    reviews = Reviews("proxy")
    door = access(reviews)
    for _ in range(2):
        assert await door.check(request("/exec/ns/p/c", method="POST")) == ADMIN
    assert reviews.asked == ["admin create proxy"]


async def test_the_finer_permission_is_asked_first() -> None:
    reviews = Reviews("proxy")
    await access(reviews).check(request("/pods"))
    assert reviews.asked == ["admin get pods", "admin get proxy"]


async def test_a_refusal_says_what_was_wanted() -> None:
    with pytest.raises(Forbidden) as caught:
        await access(Reviews()).check(request("/pods"))
    assert caught.value.message == ("Forbidden (user=admin, verb=get, resource=nodes, subresource(s)=[pods proxy])")


async def test_tokens_are_reviewed_and_remembered() -> None:
    reviews = Reviews("metrics")
    door = access(reviews)
    for _ in range(2):
        assert (await door.check(request("/metrics", user=None, token="good"))).name == "robot"
    assert reviews.asked == ["token", "robot get metrics"]
    with pytest.raises(Unauthorized):
        await door.check(request("/metrics", user=None, token="bad"))
