"""Runs the async tests of this folder side by side on one cluster: most of their time is waiting for Pods.

A test is `async def test_...(space, ...)`: `space` is a namespace of its own (place.py), further arguments are those of
`pytest.mark.parametrize`; fixtures are not for them. The first test brings the cluster up and starts all that were
selected; each then waits for its own result, so that -k, -x and a failure's traceback are as everywhere. The last one
takes the cluster down and fails where a namespace of any test cannot be taken away.

Marks: `conformance(name)` the behaviour of upstream's suite; `slow` starts among the first; `serial` runs alone, after all
others.

To try tests on a cluster that is up: `pybernetes up --name NAME`, then CONFORMANCE_CLUSTER=NAME pytest ...
"""

import asyncio
import inspect
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.node.conformance.place")

from tests.node.conformance.place import Place, Space  # noqa: E402 # after its asserts are registered

SIDE_BY_SIDE = 14
PATIENCE = 120.0
"""Seconds of a test; it takes a fraction of them where the machine has nothing else to do."""
_CROWD = pytest.StashKey["Crowd"]()


class OneOfMany(pytest.Function):
    """A test that runs in the crowd's loop; fixtures play no part."""

    def setup(self) -> None:
        """Nothing: the crowd makes what it needs."""

    def runtest(self) -> None:
        """Its own result, whenever it ran."""
        self.session.stash[_CROWD].result(self)


class Crowd:
    """The loop in which all selected tests run."""

    def __init__(self, items: list[OneOfMany]) -> None:
        self._runner = asyncio.Runner()
        self._waiting = {item for item in items if item.get_closest_marker("skip") is None}
        self._items = [item for item in items if item in self._waiting]
        self._tasks: dict[OneOfMany, asyncio.Task[None]] = {}
        self._place: Place | None = None
        self._broken: Exception | None = None
        self.seconds: dict[str, float] = {}

    def result(self, item: OneOfMany) -> None:
        """Waits for a test's end and raises what it raised."""
        if self._broken is not None:
            pytest.fail(f"the cluster did not come up: {self._broken}", pytrace=False)
        if not self._tasks:
            try:
                self._runner.run(self._start())
            except Exception as error:
                self._broken = error
                raise
        self._runner.run(self._wait(item))

    def done(self, item: OneOfMany) -> None:
        """A test's result is told; after the last one the cluster goes down."""
        self._waiting.discard(item)
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Ends what still runs, and the cluster."""
        place, self._place = self._place, None
        if place is not None:
            self._runner.run(self._end(place))
        self._runner.close()

    async def _start(self) -> None:
        self._place = await Place.open()
        gate = asyncio.Semaphore(SIDE_BY_SIDE)
        # Those that take long start first, so that nothing waits for them alone at the end
        first = sorted(self._items, key=lambda item: item.get_closest_marker("slow") is None)
        for item in first:
            if item.get_closest_marker("serial") is None:
                self._tasks[item] = asyncio.create_task(self._perform(item, gate), name=item.name)
        others, alone = list(self._tasks.values()), asyncio.Semaphore(1)
        for item in self._items:
            if item not in self._tasks:
                self._tasks[item] = asyncio.create_task(self._after(others, item, alone), name=item.name)

    async def _after(self, others: list[asyncio.Task[None]], item: OneOfMany, alone: asyncio.Semaphore) -> None:
        if others:
            await asyncio.wait(others)
        await self._perform(item, alone)

    async def _perform(self, item: OneOfMany, gate: asyncio.Semaphore) -> None:
        assert self._place is not None
        callspec = getattr(item, "callspec", None)
        given = dict(callspec.params) if callspec is not None else {}
        async with gate:
            began = time.monotonic()
            space: Space | None = None
            try:
                space = await self._place.space(item.name)
                async with asyncio.timeout(PATIENCE):
                    await item.obj(space, **given)
            except BaseException:
                if space is not None:
                    item.add_report_section("call", "the test's Pods", await space.story())
                raise
            finally:
                self.seconds[item.name] = time.monotonic() - began
                if space is not None:
                    await space.leave()

    async def _wait(self, item: OneOfMany) -> None:
        await self._tasks[item]

    async def _end(self, place: Place) -> None:
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await place.close()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: starts among the first")
    config.addinivalue_line("markers", "serial: runs alone, after all others")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(obj: object) -> Iterator[None]:
    """Async functions become members of the crowd (outermost, so after pytest-asyncio has had them)."""
    found: Any = yield
    if not inspect.iscoroutinefunction(obj) or not isinstance(found, list):
        return found
    return [_converted(item) for item in found]


def _converted(item: pytest.Function) -> OneOfMany:
    made = OneOfMany.from_parent(
        item.parent,
        name=item.name,
        callspec=getattr(item, "callspec", None),
        callobj=item.obj,
        fixtureinfo=item._fixtureinfo,
        keywords=item.keywords,
        originalname=item.originalname,
    )
    made.own_markers = [mark for mark in item.own_markers if mark.name != "asyncio"]
    made.add_marker(pytest.mark.timeout(900))  # of all: a test's own limit begins when it runs
    return made


def pytest_collection_finish(session: pytest.Session) -> None:
    items = [item for item in session.items if isinstance(item, OneOfMany)]
    session.stash[_CROWD] = Crowd(items)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if isinstance(item, OneOfMany):
        item.session.stash[_CROWD].done(item)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _CROWD in session.stash:
        session.stash[_CROWD].close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    session = terminalreporter._session
    shown = terminalreporter.config.getoption("durations")
    if shown is None or session is None or _CROWD not in session.stash:
        return
    seconds = session.stash[_CROWD].seconds
    terminalreporter.write_sep("=", f"slowest of {len(seconds)} side by side")
    for name, took in sorted(seconds.items(), key=lambda pair: -pair[1])[: shown or None]:
        terminalreporter.write_line(f"{took:7.2f}s {name}")
