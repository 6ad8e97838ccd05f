"""What a component's port answers, and to whom."""

import orjson
import pytest
from tests.exposition import read

from pybernetes.aio.clock import SystemClock
from pybernetes.api.objects import User
from pybernetes.client.rest import Client
from pybernetes.client.reviews import Lifetimes, Reviews
from pybernetes.cmd._serving import ClientMetrics, Serving, leading_gauge
from pybernetes.testing import Cluster
from pybernetes.wire.http import Headers, Request, Response
from pybernetes.wire.metrics import text

COMPONENT = User("system:kube-controller-manager", groups=("system:authenticated",))


async def reviewed(request: Request) -> Response:
    """Knows one token, whose owner may read metrics."""
    body = orjson.loads(request.body)
    spec = body["spec"]
    if request.path.endswith("tokenreviews"):
        known = spec["token"] == "good"
        body["status"] = {"authenticated": known, "user": {"username": "prometheus"} if known else {}}
    else:
        wanted = spec["nonResourceAttributes"]
        body["status"] = {"allowed": (spec["user"], wanted) == ("prometheus", {"path": "/metrics", "verb": "get"})}
    return Response(201, Headers(), orjson.dumps(body))


def serving() -> Serving:
    clock = SystemClock()
    made = Serving(clock)
    made.reviews = Reviews(Client(reviewed, clock=clock), Lifetimes())
    return made


async def ask(made: Serving, path: str, token: str = "") -> tuple[int, str]:
    headers = Headers([("authorization", f"Bearer {token}")] if token else [])
    response = await made(Request("GET", path, headers))
    assert isinstance(response.body, bytes)
    return response.status, response.body.decode()


async def test_health_is_said_by_name_to_everybody() -> None:
    made, ill = serving(), [""]
    made.checks |= {"leaderElection": lambda: "", "replicaset-controller": lambda: ill[0]}
    assert await ask(made, "/healthz") == (200, "ok")
    told = "[+]leaderElection ok\n[+]replicaset-controller ok\nhealthz check passed\n"
    assert await ask(made, "/healthz?verbose") == (200, told)
    ill[0] = "it has ended"
    assert (await ask(made, "/livez"))[0] == 500
    assert "[-]replicaset-controller failed: reason withheld" in (await ask(made, "/readyz?verbose"))[1]


@pytest.mark.parametrize(
    ("path", "token", "code"),
    [
        ("/metrics", "good", 200),
        ("/metrics", "", 403),
        ("/metrics", "bad", 401),
        ("/debug/pprof", "good", 403),
        ("/healthz/leaderElection", "", 403),
        ("/nothing", "", 403),
    ],
)
async def test_other_paths_are_for_those_whom_the_api_server_allows(path: str, token: str, code: int) -> None:
    assert (await ask(serving(), path, token))[0] == code


async def test_metrics_are_one_exposition() -> None:
    made, counted = serving(), ClientMetrics()
    made.families += [*counted.families(), leading_gauge("kube-scheduler")]
    made.texts.append(lambda: "# HELP more More.\n# TYPE more gauge\nmore 1\n")
    client = Client(counted.around(reviewed, "api:6443", SystemClock()), clock=SystemClock())
    await client.raw("POST", "/x/tokenreviews", {"spec": {"token": "good"}})
    found = read((await ask(made, "/metrics", "good"))[1])
    labels = (("code", "201"), ("host", "api:6443"), ("method", "POST"))
    assert found["rest_client_requests_total"].series == {("rest_client_requests_total", labels): 1}
    assert found["leader_election_master_status"].series == {
        ("leader_election_master_status", (("name", "kube-scheduler"),)): 0
    }
    assert "process_resident_memory_bytes" in found
    assert "more" in found


async def test_a_request_that_found_nobody_counts_as_an_error_and_a_watch_has_no_duration() -> None:
    async def away(request: Request) -> Response:
        if "watch" in request.target:
            return Response(200, Headers(), b"")
        raise ConnectionRefusedError

    counted = ClientMetrics()
    send = counted.around(away, "api", SystemClock())
    with pytest.raises(ConnectionRefusedError):
        await send(Request("GET", "/api", Headers()))
    await send(Request("GET", "/api/v1/pods?watch=true", Headers()))
    shown = text(counted.families())
    assert 'rest_client_requests_total{code="<error>",host="api",method="GET"} 1' in shown
    assert 'rest_client_requests_total{code="200",host="api",method="GET"} 1' in shown
    assert "rest_client_request_duration_seconds" not in shown


async def test_the_real_api_server_says_who_may_read_metrics() -> None:
    async with Cluster(nodes=0, controllers=()) as cluster:
        made = Serving(cluster.clock)
        made.reviews = Reviews(cluster.client(COMPONENT), Lifetimes())
        assert (await ask(made, "/metrics"))[0] == 403
        assert (await ask(made, "/metrics", "nobodys"))[0] == 401
