"""gRPC to one of several etcd servers: fail-over, deadlines, and what is known of a call that failed. etcd.py asks it.

A call that cannot have been done goes to the next server; one that may have been done goes there only if doing it
twice is harmless. So a write is sent once.
"""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

# What it tells on standard error is in the errors that it raises. It looks only once, when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio
from msgspec import Struct

from pybernetes.store._etcd_messages import WATCH, Method, WatchRequest, WatchResponse
from pybernetes.store.protocol import OutcomeUnknown, Unavailable

log = logging.getLogger(__name__)

CALL_SECONDS = 10.0
"""How long a call may take with all its attempts: etcd elects a leader in one or two, and gives up a write after seven."""
_ATTEMPT_SECONDS = 4.0
_CONNECT_SECONDS = 2.0
_LISTEN_SECONDS = 0.5
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
"""What a client of HTTP/2 says first, and a frame of no settings."""
_SETTINGS = b"\4"
_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_NO_SPACE = (
    "etcd is out of space and takes no writes (alarm NOSPACE): compact and defragment it (etcdctl defrag) or start it "
    "with a larger --quota-backend-bytes, then take the alarm back (etcdctl alarm disarm)"
)
_LEADER_NEEDED = (("hasleader", "true"),)
"""A server that has lost its leader refuses at once, and ends its watches, rather than keep us waiting (etcd's
WithRequireLeader)."""
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A server whose machine has gone says nothing: it is asked for a sign of life. etcd allows that every 5 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),  # a new certificate must not meet an old connection
)
_NOT_DONE = (
    "failed to connect to all addresses",
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "etcdserver: not capable",
    "etcdserver: rpc not supported for learner",
)
_ELSEWHERE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_EOF = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
_READY = grpc.ChannelConnectivity.READY
_FAILED = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)


class Location(Struct, frozen=True):
    """Where etcd is: `https://a:2379,https://b:2379?cafile=...&certfile=...&keyfile=...`."""

    servers: tuple[str, ...]
    """URLs: scheme, host, port."""
    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""
    prefix: str = "/registry"
    """What keys begin with in etcd..."""
    root: str = "/registry"
    """...where callers say this."""


def parsed(text: str) -> Location:
    """Reads a location. Raises Unavailable with what is wrong."""
    listed, _, query = text.partition("?")
    given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    servers = tuple(server.strip().rstrip("/") for server in listed.split(",") if server.strip())
    if not servers:
        raise Unavailable("no server is named; give --etcd-servers=https://HOST:2379[,...]")
    schemes = {urlsplit(server).scheme for server in servers}
    for server in servers:
        parts = urlsplit(server)
        try:
            complete = bool(parts.hostname and parts.port) and not parts.path
        except ValueError:
            complete = False
        if not complete or parts.scheme not in ("http", "https"):
            raise Unavailable(f'"{server}" is no server; wanted is http://HOST:PORT or https://HOST:PORT')
    if len(schemes) > 1:
        raise Unavailable("servers are given with http and with https; choose one")
    unknown = sorted(set(given) - {"cafile", "certfile", "keyfile", "prefix", "root"})
    if unknown:
        raise Unavailable(f"unknown in the location of etcd: {', '.join(unknown)}")
    location = Location(servers, **given)
    if bool(location.certfile) != bool(location.keyfile):
        raise Unavailable("a client certificate needs its key: give both --etcd-certfile and --etcd-keyfile")
    return location


class Refused(Exception):
    """etcd's own refusal; for sure the call did nothing, except for `space`."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details

    @property
    def space(self) -> bool:
        """The alarm NOSPACE. etcd sets it while it does a write, too: that one it has done, and still refuses."""
        return "database space exceeded" in self.details

    def explained(self) -> str:
        """For whoever runs etcd."""
        return _NO_SPACE if self.space else f"etcd refuses: {self.details}"


class _Server:
    """One server and the channel to it."""

    def __init__(self, url: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.url = url
        target = urlsplit(url).netloc
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        self._calls: dict[str, Any] = {}
        self._change: asyncio.Task[None] | None = None

    def call(self, method: Method) -> Any:
        """The callable of a method."""
        found = self._calls.get(method.path)
        if found is None:
            found = self._calls[method.path] = self.channel.unary_unary(
                method.path,
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=method.answer.FromString,
            )
        return found

    def watch(self) -> Any:
        """A new stream of changes."""
        open_stream: Any = self.channel.stream_stream(
            WATCH,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=WatchResponse.FromString,
        )
        return open_stream(metadata=_LEADER_NEEDED)

    async def connected(self, until: float) -> bool:
        """Waits until it is, at most until that time of the loop and a little."""
        state = self.channel.get_state(try_to_connect=True)
        if state is _READY:
            return True
        loop = asyncio.get_running_loop()
        until = min(until, loop.time() + _CONNECT_SECONDS)
        while state not in (_READY, *_FAILED):
            change = self._change
            if change is None:
                change = self._change = loop.create_task(self._changed(state), name="etcd.connecting")
            await asyncio.wait([change], timeout=until - loop.time())
            if not change.done():
                return False
            state = self.channel.get_state(try_to_connect=True)
        return state is _READY

    async def _changed(self, state: grpc.ChannelConnectivity) -> None:
        """Never cancelled: gRPC would go on waiting, and tell a loop that may be gone by then."""
        with suppress(grpc.aio.UsageError, AssertionError):  # closed
            await self.channel.wait_for_state_change(state)
        self._change = None

    async def close(self, grace: float | None = None) -> None:
        """Ends what is under way, after `grace` seconds."""
        await self.channel.close(grace)
        if self._change is not None:
            await asyncio.wait([self._change])


class Client:
    """Asks one server, and the next one when that does not answer. `close()` when done."""

    def __init__(self, location: Location, seconds: float | None = None) -> None:
        self._location = location
        self._seconds = CALL_SECONDS if seconds is None else seconds
        self._loop = asyncio.get_running_loop()
        self._files: Sequence[bytes] = ()
        self._servers: list[_Server] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._streams: dict[Any, str] = {}
        self._current = 0
        self._closed = False
        self._connect()

    @property
    def server(self) -> str:
        """URL of the server in use."""
        return self._servers[self._current].url

    async def ask(self, method: Method, request: Any, *, repeat: bool) -> Any:
        """The answer to a call. `repeat`: doing it twice is harmless.

        Raises Refused for what etcd refuses, OutcomeUnknown for a call not to be repeated that may have been done, and
        Unavailable when nobody answers in time.
        """
        until = self._loop.time() + self._seconds
        pause = _PAUSE
        while True:
            server = await self._connected(until)
            left = until - self._loop.time()
            try:
                return await server.call(method)(
                    request, timeout=min(left, _ATTEMPT_SECONDS) if repeat else left, metadata=_LEADER_NEEDED
                )
            except grpc.aio.AioRpcError as error:
                code, details = error.code(), error.details() or ""
            except (asyncio.CancelledError, grpc.aio.UsageError):
                code, details = grpc.StatusCode.CANCELLED, self._broken_off()
            not_done = details.startswith(_NOT_DONE)
            if code not in _ELSEWHERE and not not_done:
                raise Refused(code, details)
            if not repeat and not not_done:
                raise OutcomeUnknown(f"etcd at {server.url} has not said whether it has written: {details}")
            log.info("etcd is asked again server=%s cause=%s", server.url, details)
            self.leave(server.url)
            if self._loop.time() + pause >= until:
                raise Unavailable(f"etcd at {server.url} does not answer: {details}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def watch(self, start: Any) -> AsyncIterator[Any]:
        """The answers to one WatchCreateRequest, its creation first. Raises Unavailable when the stream breaks."""
        server = await self._connected(self._loop.time() + self._seconds)
        stream = server.watch()
        self._streams[stream] = server.url
        try:
            await stream.write(WatchRequest(create_request=start))
            while (response := await stream.read()) is not _EOF:
                yield response
            details = "the watch has ended"
        except grpc.aio.AioRpcError as error:
            details = error.details() or ""
        except asyncio.InvalidStateError:
            details = "the watch has ended"
        except (asyncio.CancelledError, grpc.aio.UsageError):
            details = self._broken_off()
        finally:
            del self._streams[stream]
            stream.cancel()
        self.leave(server.url)
        raise Unavailable(f"etcd at {server.url} does not answer: {details}")

    def leave(self, url: str) -> None:
        """Goes on with the next server, if it is still that one which is in use; with new certificates if there are.

        Its watches are broken off: a server that does not answer does not tell of changes either.
        """
        if url != self.server:
            return
        for stream in [stream for stream, of in self._streams.items() if of == url]:
            stream.cancel()
        self._current = (self._current + 1) % len(self._servers)
        if self._location.cafile and self._read_files() != self._files:
            log.info("certificates for etcd have changed and are read again")
            self._connect()

    async def close(self) -> None:
        """Breaks off what is under way: those who wait get Unavailable."""
        self._closed = True
        for server in self._servers:
            await server.close()
        await asyncio.gather(*self._closing)

    def _check_closed(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")

    def _broken_off(self) -> str:
        """What has broken off a call: gRPC cancels those of a channel that closes, and so whoever awaits them.

        In an except clause: goes on with the error where it is us who are cancelled.
        """
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        self._check_closed()
        return "the connection was closed"

    async def _connected(self, until: float) -> _Server:
        """The server in use or else the next that can be connected to. Raises Unavailable."""
        pause = _PAUSE
        while True:
            for _ in self._location.servers:
                self._check_closed()
                server = self._servers[self._current]
                if await server.connected(until):
                    return server
                self.leave(server.url)
            if self._loop.time() + pause >= until:
                raise Unavailable(f"no server of etcd can be reached: {', '.join(self._location.servers)}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _connect(self) -> None:
        """Channels to all servers; they connect when they are used. Raises Unavailable for files that cannot be read."""
        location = self._location
        credentials = None
        if location.servers[0].startswith("https:"):
            self._files = self._read_files()
            authority, certificate, key = self._files
            credentials = grpc.ssl_channel_credentials(authority or None, key or None, certificate or None)
        for server in self._servers:
            task = self._loop.create_task(server.close(self._seconds), name="etcd.close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._servers = [_Server(url, credentials) for url in location.servers]

    def _read_files(self) -> Sequence[bytes]:
        location = self._location
        try:
            return [Path(n).read_bytes() if n else b"" for n in (location.cafile, location.certfile, location.keyfile)]
        except OSError as error:
            if self._files:
                return self._files  # they are just being replaced
            raise Unavailable(f"cannot read {error.filename}: {error.strerror}") from error


async def diagnosis(location: Location) -> str:
    """Why servers cannot be talked to, with what to do, found out with TLS of our own: gRPC does not say it well."""
    return "; ".join([f"{url}: {await _fault(location, url)}" for url in location.servers])


async def _fault(location: Location, url: str) -> str:
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port, ssl=_context(location) if tls else None
            )
        try:
            if not tls:
                writer.write(_PREFACE)
            # With TLS 1.3 a client hears of its refused certificate only after the handshake.
            async with asyncio.timeout(_LISTEN_SECONDS):
                answer = await reader.read(9)
        except TimeoutError:
            return "it can be connected to, but does not answer; look whether a majority of its members runs"
        finally:
            writer.transport.abort()
    except ssl.SSLCertVerificationError as error:
        return (
            f"its certificate is not trusted ({error.verify_message}); --etcd-cafile must be the CA that etcd's "
            "server certificates are issued by, and the certificate must name this host"
        )
    except ssl.SSLError as error:
        return (
            f"it refuses our certificate ({error.reason or error}); --etcd-certfile and --etcd-keyfile must be a client "
            "certificate issued by the CA that etcd was given as --trusted-ca-file"
        )
    except TimeoutError:
        return "no answer; look whether the machine is up and a firewall is between"
    except OSError as error:
        return f"{os.strerror(error.errno) if error.errno else error}; look whether etcd runs there"
    if not tls and answer[3:4] != _SETTINGS:
        return "it does not speak HTTP/2 without TLS; give --etcd-servers=https://... and the certificates"
    return "it is there now"


def _context(location: Location) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=location.cafile or None)
    context.set_alpn_protocols(["h2"])
    if location.certfile:
        context.load_cert_chain(location.certfile, location.keyfile)
    return context
