"""What all suites share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.etcd_servers import Servers, etcd


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[], Servers]]:
    """One etcd for all, started by the first that calls it."""
    running: list[Servers] = []
    with ExitStack() as stack:

        def started() -> Servers:
            if not running:
                running.append(stack.enter_context(etcd()))
            return running[0]

        yield started
