"""The pytest plugin, in runs of pytest of its own: as a project uses it that has installed pybernetes."""

import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from pybernetes.testing import SyncCluster

SUITE = """
import asyncio

import pytest

from pybernetes.api.types import core_v1

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
       "spec": {"containers": [{"name": "web", "image": "web"}]}}
seen = []


def test_a_pod_runs(cluster, namespace):
    cluster.apply(POD, namespace=namespace)
    cluster.wait("pod/web", "condition=Ready", namespace=namespace)
    seen.append(namespace)


@pytest.mark.parametrize("shape", ["two"])
def test_names_are_of_the_test(cluster, namespace, shape):
    assert namespace.startswith("test-names-are-of-the-test-two-")
    assert not cluster.raw("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
    seen.append(namespace)


def test_async_code_has_a_client_in_its_own_loop(cluster, namespace):
    async def pods():
        return (await cluster.async_client().of(core_v1.Pod).list(namespace)).items

    assert asyncio.run(pods()) == ()


def test_namespaces_are_gone_after_their_test(cluster):
    left = {item["metadata"]["name"] for item in cluster.raw("GET", "/api/v1/namespaces")["items"]}
    assert seen
    assert not left & set(seen)


def test_another_user_is_another_user(cluster, namespace):
    from pybernetes.api.errors import Forbidden

    with pytest.raises(Forbidden, match='User "jane" cannot list resource "pods"'):
        cluster.client("jane").of(core_v1.Pod).list(namespace)
"""


def ran(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:schemathesis",
        "-p",
        "no:hypothesispytest",
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def suite(folder: Path, text: str, **options: str) -> Path:
    (folder / "test_suite.py").write_text(text)
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    (folder / "pytest.ini").write_text(f"[pytest]\n{lines}")
    return folder


def test_a_cluster_is_imported_as_if_no_pytest_were_there() -> None:
    assert isinstance(sys.modules[SyncCluster.__module__].__loader__, SourceFileLoader)


def test_tests_share_a_cluster_and_have_namespaces_of_their_own(tmp_path: Path) -> None:
    ended = ran(suite(tmp_path, SUITE))
    assert "5 passed" in ended.stdout, ended.stdout


def test_the_same_tests_run_on_a_real_cluster(tmp_path: Path) -> None:
    with SyncCluster() as real:
        ended = ran(suite(tmp_path, SUITE), "--pybernetes-kubeconfig", str(real.kubeconfig()))
        assert "5 passed" in ended.stdout, ended.stdout
        assert real.audit.calls(verb="create", resource="pods") or real.audit.calls(verb="patch", resource="pods")


def test_workers_have_their_own_clusters(tmp_path: Path) -> None:
    text = """
import os, pytest

@pytest.mark.parametrize("number", range(4))
def test_one_of_many(cluster, namespace, number):
    print("port", cluster.kubeconfig().read_text().split("server: ")[1].split()[0], os.environ["PYTEST_XDIST_WORKER"])
"""
    ended = ran(suite(tmp_path, text), "-n", "2", "-rP", "-p", "xdist")
    assert "4 passed" in ended.stdout, ended.stdout
    places = {tuple(line.split()[1:]) for line in ended.stdout.splitlines() if line.startswith("port ")}
    assert len({server for server, _ in places}) == len({worker for _, worker in places}) == 2


def test_what_a_real_cluster_cannot_do_skips_the_test(tmp_path: Path) -> None:
    text = """
import pytest

@pytest.fixture
def broken(cluster):
    return cluster.faults

def test_time(cluster):
    cluster.advance(minutes=5)

def test_faults(broken):
    raise AssertionError("never here")

def test_a_misspelt_word_is_no_skip(cluster):
    with pytest.raises(AttributeError, match="'ExternalCluster' object has no attribute 'aply'"):
        cluster.aply()
"""
    with SyncCluster() as real:
        ended = ran(suite(tmp_path, text), "-rs", "--pybernetes-kubeconfig", str(real.kubeconfig()))
    assert "1 passed, 2 skipped" in ended.stdout, ended.stdout
    assert "advance: only a cluster inside the test process can do this" in ended.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pybernetes_nodes": "-3"}, "pybernetes_nodes: '-3' is not allowed"),
        ({"pybernetes_time": "simulated"}, "pybernetes_time: 'simulated' is not allowed; allowed: real, manual"),
        ({"pybernetes_time": "later"}, "pybernetes_time: 'later' is not allowed; allowed: real, manual"),
        ({"pybernetes_seed": "x"}, "pybernetes_seed: 'x' is not allowed; allowed: a whole number"),
        ({"pybernetes_controllers": "nobody"}, '"nobody" is not in the list of known controllers: '),
        ({"pybernetes_authorization": "Hope"}, "pybernetes_authorization: 'Hope' is not allowed; allowed: "),
    ],
)
def test_a_wrong_option_says_what_is_allowed(tmp_path: Path, options: dict[str, str], said: str) -> None:
    ended = ran(suite(tmp_path, "def test_it(cluster): pass\n", **options))
    assert said in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pybernetes-kubeconfig", "missing.conf"], "the cluster of missing.conf cannot be used: "),
        (["--pybernetes-context", "one"], "--pybernetes-context is of a kubeconfig"),
    ],
)
def test_a_cluster_that_is_not_there_says_so(tmp_path: Path, arguments: list[str], said: str) -> None:
    ended = ran(suite(tmp_path, "def test_it(cluster): pass\n"), *arguments)
    assert said in ended.stdout + ended.stderr, ended.stdout + ended.stderr


def test_a_failure_tells_the_state_of_its_namespace(tmp_path: Path) -> None:
    text = """
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
       "spec": {"nodeSelector": {"disk": "none"}, "containers": [{"name": "web", "image": "web"}]}}

def test_it(cluster, namespace):
    cluster.apply(POD, namespace=namespace)
    cluster.wait("pod/web", "condition=PodScheduled=False", namespace=namespace)
    cluster.wait("events", namespace=namespace)
    assert False

def test_another(cluster, namespace):
    raise LookupError("of the test alone")
"""
    ended = ran(suite(tmp_path, text))
    assert "2 failed" in ended.stdout, ended.stdout
    first = ended.stdout.partition("test_another")[0]
    assert "- namespace test-it-" in first
    assert re.search(r"^web +0/1 +Pending", first, re.M), first
    assert "FailedScheduling" in first
    assert re.search(r"apply|patch", first), first


OWN = """
import asyncio

import pytest

from pybernetes.testing import Cluster, SyncCluster, simulated

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
       "spec": {"nodeSelector": {"disk": "none"}, "containers": [{"name": "web", "image": "web"}]}}

@simulated
async def test_virtual():
    async with Cluster() as c:
        await c.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        await c.apply(POD, namespace="shop")
        await c.advance(5)
        assert False

def test_real():
    async def body():
        async with Cluster() as c:
            await c.apply(POD)
            pytest.fail("so")
    asyncio.run(body())

@pytest.fixture(params=["real", "simulated", "manual"])
def mine(request):
    with SyncCluster(time=request.param) as c:
        c.faults.add(agent="pybernetes-report", error="Forbidden")
        yield c

def test_of_a_fixture(mine):
    mine.apply(POD)
    assert False

@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()

@pytest.fixture
def own(loop):
    cluster = Cluster()
    loop.run_until_complete(cluster.__aenter__())
    yield cluster
    loop.run_until_complete(cluster.__aexit__(None, None, None))

def test_of_a_loop_at_rest(loop, own):
    loop.run_until_complete(own.apply(POD))
    assert False

@pytest.fixture
def broken():
    with SyncCluster() as c:
        c.apply(POD)
        raise LookupError("before the test")

def test_of_a_setup(broken):
    pass
"""


def test_clusters_that_tests_make_tell_of_the_failure_too(tmp_path: Path) -> None:
    ended = ran(suite(tmp_path, OWN))
    assert "6 failed, 1 error" in ended.stdout, ended.stdout
    reports = re.split(r"^-+ namespace (?=\S+ -+$)", ended.stdout, flags=re.M)[1:]
    assert sorted(report.split()[0] for report in reports) == ["default"] * 6 + ["shop"]
    for report in reports:
        assert re.search(r"^web +0/1 +Pending", report, re.M), report
        assert re.search(r"apply +pods", report), report


def test_tracebacks_end_where_the_cluster_was_asked(tmp_path: Path) -> None:
    text = """
from pathlib import Path

import pytest

from pybernetes.testing import Cluster, simulated

@simulated
async def test_refused():
    async with Cluster(nodes=0) as c:
        await c.raw("GET", "/api/v1/nothings")

def test_of_another_thread(cluster):
    cluster.wait("pod/none", seconds=0.1)

def test_words(cluster):
    cluster.wait("pods", "hungry")

def test_a_fault_of_the_test(cluster):
    def where(pod):
        raise LookupError("mine")
    cluster.wait("namespace/default", where)
"""
    ended = ran(suite(tmp_path, text), "-p", "no:cacheprovider")
    assert "4 failed" in ended.stdout, ended.stdout
    for place in ("11: NotFound", "14: NotInTimeError", "17: ValueError", "21: LookupError"):
        assert f"test_suite.py:{place}" in ended.stdout, ended.stdout
    own = ended.stdout.partition("test_a_fault_of_the_test _")[0]
    assert "pybernetes/testing/" not in own
    assert "pybernetes/testing/" in ran(tmp_path, "--full-trace", "-k", "words").stdout


def test_what_does_not_fail_by_the_cluster_tells_nothing(tmp_path: Path) -> None:
    text = """
import pytest
from pybernetes.testing import SyncCluster

NAME = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}

@pytest.mark.parametrize("end", [pytest.skip, pytest.xfail])
def test_no_failure(end):
    with SyncCluster(nodes=0) as c:
        c.apply(NAME)
        end("for a reason")

def test_an_error_that_is_wanted():
    with pytest.raises(LookupError):
        with SyncCluster(nodes=0) as c:
            c.apply(NAME)
            raise LookupError

def test_after_it(cluster):
    raise LookupError("before the cluster is used")

def test_a_cluster_that_has_failed():
    with SyncCluster(nodes=0) as c:
        c.apply(NAME)
        c.cluster.report = None
        raise LookupError("the test's own")
"""
    ended = ran(suite(tmp_path, text))
    assert "2 failed, 1 passed, 1 skipped, 1 xfailed" in ended.stdout, ended.stdout
    assert ended.stdout.count("- namespace ") == 1, ended.stdout
    assert "the cluster does not tell: TypeError" in ended.stdout
    assert "LookupError: the test's own" in ended.stdout


def test_a_fixture_of_this_name_may_be_something_else(tmp_path: Path) -> None:
    text = """
import pytest

@pytest.fixture
def cluster():
    return "of stars"

@pytest.fixture
def namespace():
    return "sky"

def test_it(cluster, namespace):
    assert cluster == namespace
"""
    ended = ran(suite(tmp_path, text))
    assert "1 failed" in ended.stdout, ended.stdout
    assert "namespace sky" not in ended.stdout


def test_options_choose_the_cluster(tmp_path: Path) -> None:
    text = """
def test_it(cluster):
    nodes = [node["metadata"]["name"] for node in cluster.raw("GET", "/api/v1/nodes")["items"]]
    assert nodes == ["east", "west"]
"""
    ended = ran(suite(tmp_path, text, pybernetes_nodes="east west", pybernetes_scheduler="false"))
    assert "1 passed" in ended.stdout, ended.stdout


def test_a_run_without_a_cluster_imports_none(tmp_path: Path) -> None:
    text = """
import sys

def test_it():
    ours = sorted(name for name in sys.modules if name.startswith("pybernetes"))
    assert ours == ["pybernetes", *(f"pybernetes.testing{part}" for part in ("", ".notes", ".plugin"))]
"""
    ended = ran(suite(tmp_path, text))
    assert "1 passed" in ended.stdout, ended.stdout
