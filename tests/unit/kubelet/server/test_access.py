"""Who may use the kubelet's API."""

import asyncio
import contextlib
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import Forbidden, InternalError, Unauthorized
from pybernetes.api.objects import User
from pybernetes.client.rest import Client
from pybernetes.kubelet.configuration import (
    AnonymousAuthentication,
    Authentication,
    Authorization,
    Configuration,
    WebhookAuthentication,
    WebhookAuthorization,
)
from pybernetes.kubelet.server.access import Access, AccessError, subresources
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Peer, Request, Response, read_body
from pybernetes.wire.pki.certificates import Authority, Leaf, issue, new_authority, parse_certificate
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, ServerTls, client_context

ADMIN = User("admin", groups=("ops",))


class Reviews:
    """An API server that only reviews."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.away = False
        self.asked: list[str] = []

    async def __call__(self, request: Request) -> Response:
        if self.away:
            raise ConnectionError("the network is cut")
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


def access(reviews: Reviews, config: Configuration = Configuration(), clock: Clock | None = None) -> Access:  # noqa: B008
    clock = clock or SystemClock()
    return Access(config, Client(reviews, clock=clock), "n1", clock)


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
    assert caught.value.message == ("Forbidden (user=admin, verb=get, resource=nodes, subresource(s)=[pods proxy])\n")


async def test_tokens_are_reviewed_and_remembered() -> None:
    reviews = Reviews("metrics")
    door = access(reviews)
    for _ in range(2):
        assert (await door.check(request("/metrics", user=None, token="good"))).name == "robot"
    assert reviews.asked == ["token", "robot get metrics"]
    with pytest.raises(Unauthorized):
        await door.check(request("/metrics", user=None, token="bad"))


def configured(mode: str = "Webhook", *, anonymous: bool = False, tokens: bool = True) -> Configuration:
    webhook = WebhookAuthorization(cache_authorized_ttl=60.0, cache_unauthorized_ttl=5.0)
    return Configuration(
        authentication=Authentication(
            anonymous=AnonymousAuthentication(enabled=anonymous), webhook=WebhookAuthentication(tokens, 20.0)
        ),
        authorization=Authorization(mode, webhook),
    )


async def test_whoever_shows_no_name_is_anonymous_where_that_is_allowed() -> None:
    reviews = Reviews("healthz")
    door = access(reviews, configured(anonymous=True))
    assert (await door.check(request("/healthz", user=None))).name == "system:anonymous"
    assert reviews.asked == ["system:anonymous get healthz"]
    with pytest.raises(Unauthorized):
        await door.check(request("/healthz", user=None, token="bad"))


async def test_tokens_count_only_where_they_are_reviewed() -> None:
    with pytest.raises(Unauthorized):
        await access(Reviews("metrics"), configured(tokens=False)).check(request("/metrics", user=None, token="good"))


async def test_everything_may_be_allowed() -> None:
    reviews = Reviews()
    assert await access(reviews, configured("AlwaysAllow")).check(request("/exec/ns/p/c")) == ADMIN
    assert reviews.asked == []


def test_answers_are_kept_as_long_as_the_configuration_says() -> None:
    reviews = Reviews("metrics")

    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        door = access(reviews, configured(), clock)

        async def ask(path: str, token: str = "") -> None:
            with contextlib.suppress(Forbidden):
                await door.check(request(path, user=None if token else ADMIN, token=token))

        for seconds, asked in ((0, 1), (59, 0), (2, 1)):
            await clock.sleep(seconds)
            reviews.asked.clear()
            await ask("/metrics")
            assert len(reviews.asked) == asked
        for seconds, asked in ((0, 1), (4, 0), (2, 1)):
            await clock.sleep(seconds)
            reviews.asked.clear()
            await ask("/stats/summary")
            assert len(reviews.asked) == asked
        for seconds, asked in ((0, ["token", "robot get metrics"]), (19, []), (2, ["token"])):
            await clock.sleep(seconds)
            reviews.asked.clear()
            await ask("/metrics", "good")
            assert reviews.asked == asked

    run_simulated(main())


async def test_an_api_server_that_is_away_allows_nobody_and_is_asked_again() -> None:
    reviews = Reviews("metrics")
    reviews.away = True
    door = access(reviews)
    with pytest.raises(InternalError) as caught:
        await door.check(request("/metrics"))
    assert caught.value.message == "Authorization error (user=admin, verb=get, resource=nodes, subresource=metrics)"
    with pytest.raises(Unauthorized):
        await door.check(request("/metrics", user=None, token="good"))
    reviews.away = False
    assert await door.check(request("/metrics")) == ADMIN
    assert (await door.check(request("/metrics", user=None, token="good"))).name == "robot"


async def test_client_certificates_are_names_and_groups() -> None:
    authority = new_authority("ca", SystemClock().now())
    reviews = Reviews("metrics")
    door = access(reviews)
    for usage, known in (("client auth", True), ("server auth", False)):
        certificate, _ = issue(authority, Leaf("ann", ("ops",), usages=(usage,)), SystemClock().now())
        der = parse_certificate(certificate).public_bytes(Encoding.DER)
        asked = Request("GET", "/metrics", Headers(), peer=Peer(certificate=der))
        if known:
            assert await door.check(asked) == User("ann", groups=("ops", "system:authenticated"))
        else:
            with pytest.raises(Unauthorized):
                await door.check(asked)


async def test_a_client_certificate_that_has_expired_since_the_handshake_is_refused() -> None:
    long_ago = SystemClock().now() - 400 * 86400
    certificate, _ = issue(new_authority("ca", long_ago), Leaf("ann", usages=("client auth",)), long_ago)
    der = parse_certificate(certificate).public_bytes(Encoding.DER)
    with pytest.raises(Unauthorized):
        await access(Reviews("metrics")).check(Request("GET", "/metrics", Headers(), peer=Peer(certificate=der)))


def test_a_configuration_that_cannot_be_followed_is_refused() -> None:
    clock = SystemClock()
    for config, text in (
        (configured("RBAC"), "unknown authorization mode RBAC"),
        (configured(), "no client provided, cannot use webhook authorization"),
        (configured("AlwaysAllow"), "no client provided, cannot use webhook authentication"),
    ):
        with pytest.raises(AccessError, match=text):
            Access(config, None, "n1", clock)
    Access(configured("AlwaysAllow", tokens=False), None, "n1", clock)


async def test_over_tls_a_certificate_of_the_client_ca_counts_and_no_other(tmp_path: Path) -> None:
    now = SystemClock().now()
    authority, stranger = new_authority("ca", now), new_authority("other", now)
    (tmp_path / "ca.pem").write_bytes(authority.pem)

    def pair(name: str, signer: Authority, leaf: Leaf) -> Identity:
        certificate, key = issue(signer, leaf, now)
        (tmp_path / name).write_bytes(certificate + key)
        return Identity(tmp_path / name, tmp_path / name)

    serving = pair("serving", authority, Leaf("n1", hosts=("127.0.0.1",), usages=("server auth",)))
    door = access(Reviews("metrics"))

    async def handler(request: Request) -> Response:
        return Response(200, Headers(), (await door.check(request)).name.encode())

    server = HttpServer(handler, ssl=ServerTls(serving, client_ca=tmp_path / "ca.pem").context)
    await server.start()

    async def ask(identity: Identity | None) -> tuple[int, bytes]:
        tls = client_context(ca=tmp_path / "ca.pem", identity=identity)
        client = HttpClient(f"https://127.0.0.1:{server.port}", ssl=tls)
        try:
            response = await client(Request("GET", "/metrics"))
            return response.status, await read_body(response)
        finally:
            await client.aclose()

    try:
        assert await ask(pair("ann", authority, Leaf("ann", ("ops",)))) == (200, b"ann")
        assert (await ask(None))[0] == 401
        with pytest.raises(ConnectionError):
            await ask(pair("eve", stranger, Leaf("admin", ("system:masters",))))
        with pytest.raises(ConnectionError):
            await ask(pair("n2", authority, Leaf("n2", ("system:masters",), usages=("server auth",))))
    finally:
        await server.stop()
