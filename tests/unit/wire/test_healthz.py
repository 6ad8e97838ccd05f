"""Health pages, as all components answer them."""

import pytest

from pybernetes.wire.healthz import health
from pybernetes.wire.http import Request


def asked(target: str, **faults: str) -> tuple[int, str]:
    checks = {name: (lambda fault=fault: fault) for name, fault in {"ping": "", "log": "", **faults}.items()}
    response = health("/healthz", checks, Request("GET", target))
    assert isinstance(response.body, bytes)
    return response.status, response.body.decode()


@pytest.mark.parametrize(
    ("target", "faults", "status", "text"),
    [
        ("/healthz", {}, 200, "ok"),
        ("/healthz/", {}, 200, "ok"),
        ("/healthz/ping", {}, 200, "ok"),
        ("/healthz/none", {}, 404, "404 page not found\n"),
        ("/healthz?verbose", {}, 200, "[+]ping ok\n[+]log ok\nhealthz check passed\n"),
        ("/healthz", {"sync": "late"}, 500, "[+]ping ok\n[+]log ok\n[-]sync failed: reason withheld\nhealthz check failed\n"),
        ("/healthz/sync", {"sync": "late"}, 500, "internal server error: late\n"),
        ("/healthz?exclude=sync", {"sync": "late"}, 200, "ok"),
        (
            "/healthz?verbose&exclude=none",
            {},
            200,
            '[+]ping ok\n[+]log ok\nwarn: some health checks cannot be excluded: no matches for "none"\nhealthz check passed\n',
        ),
    ],
)  # fmt: skip
def test_checks(target: str, faults: dict[str, str], status: int, text: str) -> None:
    assert asked(target, **faults) == (status, text)
