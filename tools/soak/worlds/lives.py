"""One life of one world: accidents, then peace, then judgement, then ten minutes in which nobody writes."""

import asyncio
import gc
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import ApiError
from pybernetes.api.types import batch_v1, core_v1
from tools.soak._faults import Faults
from tools.soak.worlds import rules_around, rules_deletions, rules_jobs, rules_replicas, rules_sets, rules_volumes
from tools.soak.worlds.actions import ALWAYS, OUT_OF_SERVICE, change_trouble, release
from tools.soak.worlds.casts import CASTS, cast_for
from tools.soak.worlds.casts_volumes import restore_claims
from tools.soak.worlds.judge import judge
from tools.soak.worlds.ledger import controller_of
from tools.soak.worlds.volumes import provide
from tools.soak.worlds.wire import Trouble
from tools.soak.worlds.world import NODES, STOPPED, World

WHOLE = 10
"""Every so many seeds a world has everything that a cluster has, and rests for longer."""
STEPS = 40
PAUSES = (0.0, 0.01, 0.3, 1.0, 3.0, 3.0, 10.0, 45.0)
"""Seconds between two actions."""
PACE = {"controllers": 0.005, "scheduler": 0.02, "node": 0.3}
SETTLE = 1300.0
"""Virtual seconds without trouble after which nobody may write any more: evictions, back-offs and expectations are over."""
REST, SHORT_REST = 600.0, 370.0
"""Seconds without any write at the end of a whole world, and of another: longer than all that controllers wait for."""
TICKS = 250.0
"""Seconds that CronJobs have after the end of all trouble, before they are suspended."""
BEFORE = 30
"""Lines of history that are shown of a world that failed."""


_NUMBERED = re.compile(r".*-[0-9]+")


class Broken(AssertionError):
    """A rule was broken, or the end was wrong; with the step and the last writes."""


def world_of(seed: int, *, whole: bool = True) -> World:
    """A world that is held to all rules."""
    w = World(seed, SimulatedClock(asyncio.get_running_loop(), seed), whole=whole)
    for rules in (rules_deletions, rules_jobs, rules_replicas, rules_sets, rules_around, rules_volumes):
        for kind, several in rules.RULES.items():
            for rule in several:
                w.ledger.hold(kind, rule)
    w.ledger.hold("VolumeAttachment", rules_volumes.Mounted(w.mounted, w.running))
    w.ledger.hold("", rules_deletions.Storms())
    return w


async def begin(w: World) -> None:
    """All parts of a new world, and a moment to find each other."""
    await w.server_up()
    for name in (STOPPED, "scheduler", *NODES):
        w.start(name)
    w.add("provisioner", provide(w))
    w.add("memory", w.remember())
    await w.clock.sleep(5)


async def live(w: World, casts: Sequence[str] = ()) -> dict[str, int]:
    """Lives, with these casts or those of the seed; returns figures. Raises Broken, at the very write that breaks a rule."""
    living = asyncio.create_task(_live(w, casts))

    def stop() -> None:
        living.cancel()

    w.ledger.broken = stop
    try:
        try:
            return await living
        except asyncio.CancelledError:
            w.check()
            raise
    except AssertionError as fault:
        told = "; ".join(w.ledger.violations[:3]) or str(fault)
        raise Broken("\n".join((told, f"at {w.step}, after these writes:", *_shown(w.ledger.log)))) from fault


async def _live(w: World, casts: Sequence[str]) -> dict[str, int]:
    log = w.ledger.log
    await begin(w)
    played = casts or cast_for(w)
    log.append(f"casts {' '.join(played)}")
    w.pace = PACE
    w.held = tuple(resource for name in played for resource in CASTS[name].held)
    for work in (work for name in dict.fromkeys(played) for work in CASTS[name].meanwhile):
        w.add(work.__name__, work(w))
    for name in (*played, *played):
        with suppress(ApiError):
            await CASTS[name].actions[0](w)
    await w.clock.sleep(w.rng.choice(PAUSES))
    await change_trouble(w)
    actions = [action for name in played for action in CASTS[name].actions]
    for number in range(STEPS):
        action = w.rng.choice(ALWAYS) if w.rng.random() < 0.45 else w.rng.choice(actions)
        w.step = f"step {number} {action.__name__}"
        log.append(f"{w.clock.monotonic():.3f} {w.step}")
        with suppress(ApiError, ConnectionError):
            await action(w)
        await w.clock.sleep(w.rng.choice(PAUSES))
        w.check()
    w.step = "peace"
    await _peace(w)
    w.step = "rest"
    await _rest(w)
    figures = judge(w)
    return {**figures, "writes": sum(w.ledger.writes.values())}


def _shown(log: list[str]) -> list[str]:
    """The last of the history, without heartbeats."""
    return [line for line in log if "/leases/" not in line and "/events/" not in line][-BEFORE:]


async def _peace(w: World) -> None:
    w.ledger.log.append(f"{w.clock.monotonic():.3f} peace")
    w.trouble = Trouble()
    await w.unheld()  # a taint that only a late cache still shows would evict Pod after Pod
    if not w.has_server:
        await w.server_up()
    for name in (STOPPED, "scheduler", *NODES):
        if not w.running(name):
            w.start(name)
    for node in w.ledger.all("Node"):
        kept = [taint for taint in node["spec"].get("taints") or () if taint["key"] not in ("drain", OUT_OF_SERVICE)]
        change = {"spec": {"unschedulable": None, "taints": kept}}
        await w.change(core_v1.Node, node["metadata"]["name"], change, "")
    await w.clock.sleep(120)  # what is not theirs is let go by then
    for pod in w.ledger.all("Pod"):  # what users put aside may have the name of a set's next Pod
        meta = pod["metadata"]
        wanted = w.ledger.find("StatefulSet", meta["namespace"], meta["name"].rpartition("-")[0])
        foreign = controller_of(pod) != wanted.uid if wanted is not None else not controller_of(pod)
        if foreign and _NUMBERED.fullmatch(meta["name"]):
            with suppress(ApiError):
                await w.remove(core_v1.Pod, meta["name"], meta["namespace"], gracePeriodSeconds=0)
    for kind in (core_v1.ConfigMap, core_v1.Secret):
        await release(w, kind)
    await restore_claims(w)
    await w.clock.sleep(TICKS if w.ledger.all("CronJob") else 0)
    for cron in w.ledger.all("CronJob"):
        meta = cron["metadata"]
        await w.change(batch_v1.CronJob, meta["name"], {"spec": {"suspend": True}}, meta["namespace"])


async def _rest(w: World) -> None:
    """Waits until for long enough no controller and no scheduler has written anything but Events and Leases."""
    began, rest = w.clock.monotonic(), REST if w.whole else SHORT_REST
    while True:
        times = [at for part, at in w.ledger.written_at.items() if not part.startswith("node ")]
        last = max(began, *times)
        told = f"there are writes {last - began:.0f} s after the end of all trouble, at rest for less than {rest:.0f} s"
        assert last < began + SETTLE, told
        left = last + rest - w.clock.monotonic()
        if left <= 0:
            return
        await w.clock.sleep(max(1.0, left))  # a smaller one may not move the clock at all
        w.check()


def run_world(seed: int, casts: Sequence[str] = ()) -> tuple[dict[str, int], list[str]]:
    """One life of one world: figures, and its history. Raises Broken."""

    async def main() -> tuple[dict[str, int], list[str]]:
        w = world_of(seed, whole=seed % WHOLE == 0)
        try:
            return await live(w, casts), w.ledger.log
        finally:
            await w.close()

    faults = Faults()
    logging.getLogger("pybernetes").addHandler(faults)
    try:
        with _collected_later(seed):
            result = run_simulated(main())
    finally:
        logging.getLogger("pybernetes").removeHandler(faults)
    if faults.found:
        raise Broken(f"{len(faults.found)} faults were logged, the first: {faults.found[0]}")
    return result


@contextmanager
def _collected_later(seed: int) -> Iterator[None]:
    """No garbage is looked for while a world lives: a tenth of what it costs."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if seed % 4 == 0:
            gc.collect()


def check_seed(seed: int, *, twice_every: int = 10, casts: Sequence[str] = ()) -> dict[str, int]:
    """Runs a world, and every so many seeds again: it must make the same history. Raises AssertionError."""
    figures, first = run_world(seed, casts)
    if seed % twice_every == 0:
        _, second = run_world(seed, casts)
        for number, (one, other) in enumerate(zip(first, second, strict=False)):
            assert one == other, f"two runs differ at line {number}: {one!r} and {other!r}"
        assert len(first) == len(second), f"two runs differ in length: {len(first)} and {len(second)}"
    return figures
