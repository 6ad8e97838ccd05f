"""One life of one world: accidents, then peace, then judgement, then ten minutes in which nobody writes."""

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import suppress

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import ApiError
from pybernetes.api.types import batch_v1, core_v1
from tools.soak._faults import Faults
from tools.soak.worlds import rules_deletions, rules_jobs, rules_replicas, rules_sets
from tools.soak.worlds.actions import ALWAYS, change_trouble
from tools.soak.worlds.casts import CASTS, cast_for
from tools.soak.worlds.judge import judge
from tools.soak.worlds.ledger import controller_of
from tools.soak.worlds.volumes import provide
from tools.soak.worlds.wire import Trouble
from tools.soak.worlds.world import NODES, STOPPED, World

STEPS = 40
PAUSES = (0.0, 0.01, 0.3, 1.0, 3.0, 3.0, 10.0, 45.0)
"""Seconds between two actions."""
SETTLE = 1300.0
"""Virtual seconds without trouble: longer than evictions, back-offs, expectations and watches take."""
REST = 600.0
"""Seconds after it in which no controller writes anything."""
BEFORE = 30
"""Lines of history that are shown of a world that failed."""


_NUMBERED = re.compile(r".*-[0-9]+")


class Broken(AssertionError):
    """A rule was broken, or the end was wrong; with the step and the last writes."""


def world_of(seed: int) -> World:
    """A world that is held to all rules."""
    w = World(seed, SimulatedClock(asyncio.get_running_loop(), seed))
    for rules in (rules_deletions.RULES, rules_jobs.RULES, rules_replicas.RULES, rules_sets.RULES):
        for kind, several in rules.items():
            for rule in several:
                w.ledger.hold(kind, rule)
    w.ledger.hold("", rules_deletions.Storms())
    return w


async def begin(w: World) -> None:
    """All parts of a new world, and a moment to find each other."""
    await w.server_up()
    for name in (STOPPED, "scheduler", *NODES):
        w.start(name)
    w.spawn(provide(w))
    await w.clock.sleep(5)


async def live(w: World, casts: Sequence[str] = ()) -> dict[str, int]:
    """Lives, with these casts or those of the seed; returns figures. Raises Broken."""
    log, step = w.ledger.log, "begins"
    try:
        await begin(w)
        played = casts or cast_for(w)
        log.append(f"casts {' '.join(played)}")
        for name in (*played, *played):
            with suppress(ApiError):
                await CASTS[name].actions[0](w)
        await w.clock.sleep(w.rng.choice(PAUSES))
        await change_trouble(w)
        actions = [action for name in played for action in CASTS[name].actions]
        for number in range(STEPS):
            action = w.rng.choice(ALWAYS) if w.rng.random() < 0.45 else w.rng.choice(actions)
            step = f"step {number} {action.__name__}"
            log.append(f"{w.clock.monotonic():.3f} {step}")
            with suppress(ApiError, ConnectionError):
                await action(w)
            await w.clock.sleep(w.rng.choice(PAUSES))
            w.check()
        step = "peace"
        await _peace(w)
        figures = judge(w)
        step = "rest"
        await _rest(w)
        return {**figures, "writes": sum(w.ledger.writes.values())}
    except AssertionError as fault:
        told = "; ".join(w.ledger.violations[:3]) or str(fault)
        raise Broken("\n".join((told, f"at {step}, after these writes:", *_shown(log)))) from fault


def _shown(log: list[str]) -> list[str]:
    """The last of the history, without heartbeats."""
    return [line for line in log if "/leases/" not in line and "/events/" not in line][-BEFORE:]


async def _peace(w: World) -> None:
    w.ledger.log.append(f"{w.clock.monotonic():.3f} peace")
    w.trouble = Trouble()
    if not w.has_server:
        await w.server_up()
    for name in (STOPPED, "scheduler", *NODES):
        if not w.running(name):
            w.start(name)
    for node in w.ledger.all("Node"):
        kept = [taint for taint in node["spec"].get("taints") or () if taint["key"] != "drain"]
        change = {"spec": {"unschedulable": None, "taints": kept}}
        await w.change(core_v1.Node, node["metadata"]["name"], change, "")
    await w.clock.sleep(120)  # what is not theirs is let go by then
    for pod in w.ledger.all("Pod"):  # what users put aside may have the name of a set's next Pod
        meta = pod["metadata"]
        if not controller_of(pod) and _NUMBERED.fullmatch(meta["name"]):
            with suppress(ApiError):
                await w.remove(core_v1.Pod, meta["name"], meta["namespace"], gracePeriodSeconds=0)
    await w.clock.sleep(SETTLE)
    w.check()
    for cron in w.ledger.all("CronJob"):
        meta = cron["metadata"]
        await w.change(batch_v1.CronJob, meta["name"], {"spec": {"suspend": True}}, meta["namespace"])
    if w.ledger.all("CronJob"):
        await w.clock.sleep(400)
    w.check()


async def _rest(w: World) -> None:
    """No controller and no scheduler writes anything but Events and Leases."""
    before, line = dict(w.ledger.writes), len(w.ledger.log)
    await w.clock.sleep(REST)
    w.check()
    parts = {p: n - before.get(p, 0) for p, n in w.ledger.writes.items() if n > before.get(p, 0)}
    parts = {part: count for part, count in parts.items() if not part.startswith("node ")}
    told = [text for text in w.ledger.log[line:] if "/events/" not in text and "/leases/" not in text]
    assert not parts, f"{parts} wrote in ten quiet minutes: {told[:5]}"


def run_world(seed: int, casts: Sequence[str] = ()) -> tuple[dict[str, int], list[str]]:
    """One life of one world: figures, and its history. Raises Broken."""

    async def main() -> tuple[dict[str, int], list[str]]:
        w = world_of(seed)
        try:
            return await live(w, casts), w.ledger.log
        finally:
            await w.close()

    faults = Faults()
    logging.getLogger("pybernetes").addHandler(faults)
    try:
        result = run_simulated(main())
    finally:
        logging.getLogger("pybernetes").removeHandler(faults)
    if faults.found:
        raise Broken(f"{len(faults.found)} faults were logged, the first: {faults.found[0]}")
    return result


def check_seed(seed: int, *, twice_every: int = 1, casts: Sequence[str] = ()) -> dict[str, int]:
    """Runs a world, and every so many seeds again: it must make the same history. Raises AssertionError."""
    figures, first = run_world(seed, casts)
    if seed % twice_every == 0:
        _, second = run_world(seed, casts)
        for number, (one, other) in enumerate(zip(first, second, strict=False)):
            assert one == other, f"two runs differ at line {number}: {one!r} and {other!r}"
        assert len(first) == len(second), f"two runs differ in length: {len(first)} and {len(second)}"
    return figures
