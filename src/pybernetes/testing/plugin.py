"""The pytest plugin: a cluster that all tests of a run share, and a namespace for each. Loaded by every pytest there is
beside an installed pybernetes, so it imports nothing of the cluster until a test wants one.

    def test_shop(cluster, namespace):
        cluster.apply(Path("shop.yaml"), namespace=namespace)
        cluster.wait("deployment/web", "condition=Available", namespace=namespace)

Each worker of pytest-xdist is a session of its own, and has a cluster of its own.
"""

import re
import sys
from collections.abc import Generator, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pybernetes.testing.notes import NOTES, Section

if TYPE_CHECKING:
    from pybernetes.testing.blocking import SyncCluster
    from pybernetes.testing.external import ExternalCluster

    AnyCluster = SyncCluster | ExternalCluster

_WORDS, _CODE = (str(Path(__file__).parents[up]) for up in (0, 1))
_PYTHON = str(Path(re.__file__).parents[1])
_DELETED_WITHIN = 60.0
_LONGEST = 40
"""Characters of a test's name in its namespace's."""
_MODES = ("real", "manual")


class _AsItIs:
    """Finds the modules of pybernetes as if no pytest were there.

    pytest would rewrite the asserts of every package that brings a plugin, from its source: 350 modules before the first
    cluster, in each run where PYTHONDONTWRITEBYTECODE is set, as it is in many containers.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As importlib.abc.MetaPathFinder."""
        return PathFinder.find_spec(name, path, target) if name.startswith("pybernetes.") else None


sys.meta_path.insert(0, _AsItIs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the shared cluster: in the configuration file, and which real cluster to take instead."""
    group = parser.getgroup("pybernetes", "a Kubernetes cluster inside the tests")
    group.addoption(
        "--pybernetes-kubeconfig",
        metavar="PATH",
        help="run tests with the fixture `cluster` on the real cluster of this kubeconfig, not on one inside the process",
    )
    group.addoption("--pybernetes-context", metavar="NAME", help="which context of that kubeconfig (its current one)")
    parser.addini("pybernetes_nodes", "simulated nodes of the shared cluster: how many, or their names", default="1")
    parser.addini(
        "pybernetes_controllers", "controllers, as kube-controller-manager's --controllers takes them", default="*"
    )
    parser.addini("pybernetes_scheduler", "whether Pods are given nodes", type="bool", default=True)
    parser.addini("pybernetes_authorization", "as --authorization-mode takes them", default="Node RBAC")
    parser.addini("pybernetes_time", "real, or manual: time moves by cluster.advance() alone", default="real")
    parser.addini("pybernetes_seed", "what chance begins with in the shared cluster", default="")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> "Iterator[AnyCluster]":
    """The cluster that all tests of this run share: pybernetes.testing.SyncCluster, or the real one that was asked for.

    Its words block and its cluster lives in another thread, so that tests with any loop may use it, and those without.
    """
    config = request.config
    kubeconfig = config.getoption("pybernetes_kubeconfig")
    context = config.getoption("pybernetes_context")
    if kubeconfig is None and context is not None:
        raise pytest.UsageError("--pybernetes-context is of a kubeconfig: give --pybernetes-kubeconfig, too")
    with _made(config) if kubeconfig is None else _real(kubeconfig, context) as found:
        yield found


@pytest.fixture
def namespace(cluster: "AnyCluster", request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a namespace of the test's own. What is in it is deleted after the test, and so is it."""
    from pybernetes.api.errors import NotFound

    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": _prefix(request.node.name)}}
    name = str(cluster.raw("POST", "/api/v1/namespaces", body)["metadata"]["name"])
    try:
        if _runs(request.config, "serviceaccount-controller"):
            cluster.wait("serviceaccount/default", namespace=name)  # no Pod is admitted before
        yield name
    finally:
        try:
            cluster.raw("DELETE", f"/api/v1/namespaces/{name}")
        except NotFound:
            pass  # the test has done it
        else:
            if _runs(request.config, "namespace-controller"):
                cluster.wait(f"namespace/{name}", "delete", seconds=_DELETED_WITHIN)


def pytest_configure(config: pytest.Config) -> None:
    """Clusters that tests make for themselves are asked as well, should a test fail."""
    NOTES.listen((Exception, pytest.fail.Exception), but=(pytest.xfail.Exception, pytest.exit.Exception))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """What was before a test is not its doing."""
    NOTES.begin()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fixtures may ask for what a real cluster cannot do, too."""
    __tracebackhide__ = True
    return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test that needs what a real cluster cannot do is skipped on one."""
    __tracebackhide__ = True
    return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test tells the state of the namespaces that it used, before they are deleted."""
    if call.excinfo is not None and not (item.config.getoption("fulltrace") or item.config.getoption("usepdb")):
        _end_where_it_was_asked(call.excinfo)
    report = yield
    if report.failed and report.when != "teardown":
        report.sections += [*NOTES.take(), *_of_a_real_one(getattr(item, "funcargs", {}))]
    return report


def _end_where_it_was_asked(told: pytest.ExceptionInfo[BaseException]) -> None:
    """What the cluster refuses or misses is no fault of its code: the test's own line is where that is read."""
    levels = [told.tb]
    while (below := levels[-1].tb_next) is not None:
        levels.append(below)
    files = [level.tb_frame.f_code.co_filename for level in levels]
    words = isinstance(told.value, ValueError) and files[-1].startswith(_WORDS)
    if not (words or type(told.value).__module__.startswith("pybernetes.")):
        return
    asked = max((at for at, file in enumerate(files) if not _is_below_a_test(file)), default=0)
    if not {"_pytest", "pluggy"} & set(Path(files[asked]).parts):
        levels[asked].tb_next = None
        told.traceback = type(told.traceback)(told.tb)


def _is_below_a_test(path: str) -> bool:
    """Code of pybernetes, or of Python, which runs its loops."""
    return path.startswith((_CODE, "<")) or (path.startswith(_PYTHON) and "-packages" not in path)


def _of_a_real_one(used: dict[str, Any]) -> list[Section]:
    """Of a cluster that runs elsewhere, whose calls nobody here knows: the test's own namespace."""
    if not {"cluster", "namespace"} <= used.keys() or type(used["cluster"]).__name__ != "ExternalCluster":
        return []  # also a project's own fixtures of these names, for something else
    try:
        text = used["cluster"].report(used["namespace"])
    except Exception as error:  # noqa: BLE001  # the test's own failure must be told whatever ails the cluster
        text = f"the cluster does not tell: {type(error).__name__}: {error}"
    return [(f"namespace {used['namespace']}", text)]


def _skipping() -> Generator[None, Any, Any]:
    __tracebackhide__ = True
    try:
        return (yield)
    except RuntimeError as error:
        from pybernetes.testing.errors import RealClusterError

        if not isinstance(error, RealClusterError):
            raise
        pytest.skip(str(error))


def _made(config: pytest.Config) -> "SyncCluster":
    from pybernetes.testing.blocking import SyncCluster
    from pybernetes.testing.errors import OptionError

    try:
        return SyncCluster(**_options(config))
    except OptionError as error:
        raise pytest.UsageError(f"pybernetes_{error}") from error


def _real(kubeconfig: str, context: str | None) -> "ExternalCluster":
    from pybernetes.testing.external import ExternalCluster

    return ExternalCluster(Path(kubeconfig).expanduser(), context=context)


def _options(config: pytest.Config) -> Any:
    """Options by name, from the configuration file. Raises UsageError for what is no option at all."""
    nodes, seed, time = (config.getini(f"pybernetes_{name}").strip() for name in ("nodes", "seed", "time"))
    if time not in _MODES:
        why = " (simulated time belongs to one test: SyncCluster(time='simulated'), or @simulated)"
        raise pytest.UsageError(f"pybernetes_time: {time!r} is not allowed; allowed: {', '.join(_MODES)}{why}")
    if not re.fullmatch(r"-?\d*", seed):
        raise pytest.UsageError(f"pybernetes_seed: {seed!r} is not allowed; allowed: a whole number")
    return {
        "nodes": int(nodes) if nodes.isdecimal() else _words(nodes),
        "controllers": _words(config.getini("pybernetes_controllers")),
        "scheduler": config.getini("pybernetes_scheduler"),
        "authorization": _words(config.getini("pybernetes_authorization")),
        "time": time,
        "seed": int(seed) if seed else None,
    }


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _prefix(test: str) -> str:
    """What a namespace's name begins with: `test_a_shop[two]` to `test-a-shop-two-`."""
    plain = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")
    return f"{plain[:_LONGEST].strip('-') or 'test'}-"


def _runs(config: pytest.Config, controller: str) -> bool:
    """Whether the cluster runs a controller; a real one runs all."""
    if config.getoption("pybernetes_kubeconfig") is not None:
        return True
    from pybernetes.controllers.runtime import chosen

    return controller in chosen(_words(config.getini("pybernetes_controllers")))
