"""In-place resize: upstream's common/node/pod_resize.go, its entries in the conformance suite."""

import pytest
from tests.component.api import STRATEGIC
from tests.node.conformance.place import statuses
from tests.node.conformance.pods import container, pod

POLICY = [
    {"resourceName": "cpu", "restartPolicy": "NotRequired"},
    {"resourceName": "memory", "restartPolicy": "NotRequired"},
]


def _one(name: str, requests: dict | None = None, limits: dict | None = None) -> dict:
    amounts = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return container(name=name, resources=amounts, resizePolicy=POLICY)


def _resources(found: dict) -> dict[str, dict]:
    return {name: status.get("resources", {}) for name, status in statuses(found).items()}


async def _resize(space, change: dict[str, dict]) -> dict:
    """Patches containers' resources and waits until all is carried out."""
    wanted = {"spec": {"containers": [{"name": name, "resources": amounts} for name, amounts in change.items()]}}
    path = space.path("pods", "p") + "/resize"
    patched = await space.api.ok("PATCH", path, wanted, content_type=STRATEGIC)
    spec = {one["name"]: one.get("resources", {}) for one in patched["spec"]["containers"]}
    return await space.until("p", lambda p: _resources(p) == spec and _calm(p))


def _calm(found: dict) -> bool:
    kinds = {c["type"] for c in found["status"]["conditions"] if c["status"] == "True"}
    return not kinds & {"PodResizePending", "PodResizeInProgress"}


async def _limits(space, name: str) -> tuple[int, int, int]:
    """What the container's own control groups say: shares, quota, bytes."""
    script = (
        "cd /sys/fs/cgroup; if [ -e cpu.max ]; then cat cpu.weight; cut -d' ' -f1 cpu.max; cat memory.max; else "
        "cat cpu/cpu.shares cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes; fi"
    )
    code, printed = await space.exec("p", "sh", "-c", script, container=name)
    assert code == 0, printed
    return tuple(-1 if word == "max" else int(word) for word in printed.split())


@pytest.mark.conformance(
    "[sig-node] Pod InPlace Resize Container burstable pods - extended 6 containers - various operations performed "
    "(including adding limits and requests) [MinimumKubeletVersion:1.34] [Conformance]"
)
async def test_containers_of_a_burstable_pod_are_resized_at_once(space):
    small, large = {"cpu": "20m", "memory": "20Mi"}, {"cpu": "40m", "memory": "40Mi"}
    given = [
        _one("c1", small, large),
        _one("c2", small),
        _one("c3", small, large),
        _one("c4"),
        _one("c5", small),
        _one("c6", small),
    ]
    before = await space.run(pod("p", *given))
    change = {
        "c1": {"requests": large, "limits": {"cpu": "80m", "memory": "80Mi"}},
        "c2": {"requests": {"cpu": "10m", "memory": "10Mi"}},
        "c3": {"limits": {"cpu": "60m", "memory": "60Mi"}},
        "c4": {"requests": small},
        "c5": {"limits": large},
    }
    found = await _resize(space, change)
    assert {name: status["restartCount"] for name, status in statuses(found).items()} == dict.fromkeys(
        statuses(before), 0
    )
    _, quota, memory = await _limits(space, "c1")
    assert (quota, memory) == (8000, 80 << 20)
    _, quota, memory = await _limits(space, "c5")
    assert (quota, memory) == (4000, 40 << 20)


@pytest.mark.conformance(
    "[sig-node] Pod InPlace Resize Container burstable pods - extended resize with equivalents "
    "[MinimumKubeletVersion:1.34] [Conformance]"
)
async def test_amounts_that_are_one_to_the_runtime_are_told_as_asked(space):
    await space.run(pod("p", _one("c", {"cpu": "2m"}, {"cpu": "10m"})))
    found = await _resize(space, {"c": {"requests": {"cpu": "1m"}, "limits": {"cpu": "5m"}}})
    assert _resources(found) == {"c": {"requests": {"cpu": "1m"}, "limits": {"cpu": "5m"}}}
    found = await _resize(space, {"c": {"requests": {"cpu": "2m"}, "limits": {"cpu": "10m"}}})
    assert _resources(found) == {"c": {"requests": {"cpu": "2m"}, "limits": {"cpu": "10m"}}}


@pytest.mark.conformance(
    "[sig-node] Pod InPlace Resize Container resize pod via the replace endpoint "
    "[MinimumKubeletVersion:1.34] [Conformance]"
)
async def test_a_running_pod_is_resized_by_put(space):
    await space.run(pod("p", _one("c", {"cpu": "10m", "memory": "20Mi"}, {"cpu": "50m", "memory": "50Mi"})))
    code, path = 409, space.path("pods", "p") + "/resize"
    while code == 409:
        found = await space.get("p")
        found["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "20m", "memory": "30Mi"}
        code, put = await space.api("PUT", path, found)
    assert (code, put["metadata"]["generation"]) == (200, 2)
    found = await space.until("p", lambda p: _resources(p)["c"]["requests"] == {"cpu": "20m", "memory": "30Mi"})
    assert statuses(found)["c"]["restartCount"] == 0
    assert (await space.api.ok("GET", path))["spec"] == (await space.get("p"))["spec"]
