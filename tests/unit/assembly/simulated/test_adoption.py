"""A control plane that is started again goes on where its Pods were, and writes nothing for it."""

from tests.unit.assembly.simulated.worlds import World, holds, main, simulated, state


async def restart(w: World) -> None:
    await w.stop()
    w.writes.clear()
    w.start(["one", "two"])
    await w.clock.sleep(1)


@simulated
async def test_pods_at_rest_are_as_they_were(w: World) -> None:
    beside = [{"name": "init", "image": "i"}, {"name": "beside", "image": "two", "restartPolicy": "Always"}]
    await w.pod("running", initContainers=beside)
    await w.pod("done", restartPolicy="Never", rules={"run-seconds": "1"})
    await w.pod("failed", restartPolicy="Never", rules={"exit-code": "9"})
    await w.pod("late", activeDeadlineSeconds=2)
    await w.pod("refused", nodeSelector={"no": "where"})
    await w.clock.sleep(5)
    before = {name: await w.get(name) for name in await w.names()}
    await restart(w)
    assert not [write for write in w.writes if "/pods/" in write]
    assert {name: await w.get(name) for name in await w.names()} == before


@simulated
async def test_times_go_on(w: World) -> None:
    await w.pod("short", restartPolicy="Never", rules={"run-seconds": "60"})
    await w.pod("crashing", rules={"exit-code": "1"})
    await w.clock.sleep(45)  # it has crashed at 0, 0, 10 and 30 seconds: the next run is at 70
    await restart(w)
    assert not [write for write in w.writes if "/pods/" in write]
    waiting = main(await w.get("crashing")).state.waiting
    assert waiting.message.startswith("back-off 40s")
    await w.clock.sleep(17)
    assert (await w.get("short")).status.phase == "Succeeded"
    assert main(await w.get("crashing")).restartCount == 3
    await w.clock.sleep(10)
    told = main(await w.get("crashing"))
    assert (told.restartCount, told.state.waiting.message[:13]) == (4, "back-off 1m20")


@simulated
async def test_what_was_begun_is_finished(w: World) -> None:
    await w.pod("ending", rules={"stop-seconds": "20"})
    await w.pod("starting", rules={"start-seconds": "20"})
    await w.clock.sleep(1)
    await w.delete("ending")
    await w.clock.sleep(5)
    await restart(w)
    await w.clock.sleep(30)
    assert await w.names() == ["starting"]
    assert (await w.get("starting")).status.phase == "Running"


@simulated
async def test_a_container_that_ran_keeps_its_number_and_its_address(w: World) -> None:
    await w.pod(rules={"exit-code": "1", "times": "2"})
    await w.clock.sleep(60)
    address = (await w.get()).status.podIP
    await restart(w)
    await w.pod("other")
    await w.clock.sleep(1)
    assert (await w.get("other")).status.podIP != address
    (await w.simulated()).end("main", 3)
    await w.clock.sleep(1)
    told = main(await w.get())
    assert (state(told), told.restartCount, told.lastState.terminated.exitCode) == ("running", 3, 3)


@simulated
async def test_what_was_ordered_of_readiness_holds_and_what_probes_say_comes_in_its_time(w: World) -> None:
    await w.pod("ordered")
    await w.pod("ruled", rules={"ready-after-seconds": "20"})
    await w.clock.sleep(5)
    (await w.simulated("ordered")).set_ready("main", False)
    await w.clock.sleep(1)
    await restart(w)
    await w.clock.sleep(60)
    assert (holds(await w.get("ordered"), "Ready"), holds(await w.get("ruled"), "Ready")) == (
        "False ContainersNotReady",
        "True",
    )
    (await w.simulated("ordered")).set_ready("main", True)
    await w.clock.sleep(1)
    assert holds(await w.get("ordered"), "Ready") == "True"
