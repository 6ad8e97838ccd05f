"""HTTP to the API server with the standard library only: what no Kubernetes client library has had a hand in."""

import gzip
import json
import time
from dataclasses import dataclass
from http.client import HTTPResponse, HTTPSConnection
from ssl import SSLContext
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """A whole answer, unpacked."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Web:
    """One kept connection."""

    def __init__(self, server: str, context: SSLContext) -> None:
        url = urlsplit(server)
        self._connection = HTTPSConnection(url.hostname or "", url.port, context=context, timeout=30)

    def __enter__(self) -> "Web":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def again(self) -> None:
        """A new connection, where the last answer was not read to its end."""
        self._connection.close()

    def open(self, method: str, path: str, body: bytes | None = None, **headers: str) -> HTTPResponse:
        """The answer as a stream. Underscores in names of headers are dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, named)
        return self._connection.getresponse()

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """A request of bytes, and the whole answer."""
        answer = self.open(method, path, body, **headers)
        content = answer.read()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        if fields.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        return Answer(answer.status, fields, content)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request in JSON; fails the test unless it succeeds."""
        data = None if body is None else json.dumps(body).encode()
        answer = self.send(method, path, data, Content_Type="application/json")
        assert answer.status < 300, answer.body
        return answer.json()

    def wait(self, path: str, seconds: float = 20) -> None:
        """Until there is something at the path."""
        end = time.monotonic() + seconds
        while self.send("GET", path).status == 404:
            assert time.monotonic() < end, f"{path} did not appear"
            time.sleep(0.02)
