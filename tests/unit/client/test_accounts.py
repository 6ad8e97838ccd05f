"""Tokens of ServiceAccounts: one is asked for, kept, renewed in time, and asked for again where it is refused."""

import asyncio

import orjson

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.client.accounts import AccountTransport
from pybernetes.client.rest import Client
from pybernetes.wire.http import Headers, Request, Response


class Server:
    """Gives out tokens t1, t2, ... and takes the last one only."""

    def __init__(self) -> None:
        self.there = True
        self.tokens = 0
        self.asked: list[str] = []

    async def accounts(self, request: Request) -> Response:
        if request.path.endswith("/token"):
            await asyncio.sleep(1)
            if not self.there:
                error = NotFound('serviceaccounts "x" not found')
                return Response(404, Headers(), orjson.dumps(error.status()))
            self.tokens += 1
            body = orjson.loads(request.body)
            body["status"] = {"token": f"t{self.tokens}"}
            return Response(201, Headers(), orjson.dumps(body))
        self.there = True
        return Response(201, Headers(), request.body)

    async def bare(self, request: Request) -> Response:
        self.asked.append(request.headers.get("authorization"))
        return Response(200 if self.asked[-1] == f"Bearer t{self.tokens}" else 401, Headers(), b"{}")


def made(server: Server) -> AccountTransport:
    clock = SimulatedClock(asyncio.get_running_loop())
    return AccountTransport(Client(server.accounts, clock=clock), server.bare, Key("kube-system", "x"))


def test_one_token_serves_many_until_four_fifths_of_its_life_are_over():
    async def main() -> None:
        server = Server()
        send = made(server)
        request = Request("GET", "/x", Headers())
        answers = await asyncio.gather(*(send(request) for _ in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
        await asyncio.sleep(2870)
        await send(request)
        assert server.tokens == 1
        await asyncio.sleep(20)
        await send(request)
        assert server.tokens == 2
        assert request.headers.get("authorization") == ""

    run_simulated(main())


def test_an_account_that_is_missing_is_made():
    async def main() -> None:
        server = Server()
        server.there = False
        assert (await made(server)(Request("GET", "/x", Headers()))).status == 200
        assert server.there

    run_simulated(main())


def test_a_refused_token_is_replaced_once():
    async def main() -> None:
        server = Server()
        send = made(server)
        request = Request("GET", "/x", Headers())
        await send(request)
        server.tokens += 1  # the account was made anew: its tokens are worth nothing
        assert (await send(request)).status == 200
        assert server.asked == ["Bearer t1", "Bearer t1", "Bearer t3"]

    run_simulated(main())
