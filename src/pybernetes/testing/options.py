"""Options of a cluster inside a test, checked when it is made. cluster.py and blocking.py take them by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pybernetes.testing.errors import OptionError

if TYPE_CHECKING:
    from pybernetes.apiserver.config import Config
    from pybernetes.assembly.simulated.description import SimulatedNode
    from pybernetes.store.protocol import Store
    from pybernetes.testing.checkpoint import Checkpoint

Time = Literal["real", "simulated", "manual"]

TIMES = ("real", "simulated", "manual")
MODES = ("Node", "RBAC", "AlwaysAllow", "AlwaysDeny")
NODES_AT_MOST = 5000
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a cluster is made of. Raises OptionError, which names what is allowed."""

    nodes: "int | Sequence[str | SimulatedNode]" = 1
    """Simulated nodes: how many (`node-1`, `node-2`, ...), or their names, or what they are (SimulatedNode)."""
    controllers: str | Sequence[str] = "*"
    """As kube-controller-manager's --controllers takes them: `*`, names, `-name`; () is none."""
    scheduler: bool = True
    """Whether Pods are given nodes."""
    authorization: Sequence[str] = ("Node", "RBAC")
    """As --authorization-mode takes them."""
    time: Time | None = None
    """`real`, `simulated` or `manual`; None: simulated in a simulated loop, else real."""
    seed: int | None = None
    """What chance begins with: uids, suffixes of names, addresses; None: that of the loop, else by chance."""
    serve: bool | None = None
    """Whether clients with a kubeconfig are served, over TLS on the loopback; None: but for simulated time, which
    knows no sockets."""
    api: "Config | None" = None
    """Configuration of the API server (pybernetes.apiserver.config.Config) where its own defaults will not do."""
    store: "Store | None" = None
    """What the API server keeps its objects in, where that is not a new store in memory; the cluster does not close it."""
    state: "Checkpoint | Path | str | None" = None
    """What it begins with: a Checkpoint, or the file of one (or of `pybernetes store dump`)."""
    described: "tuple[str | SimulatedNode, ...]" = field(init=False, default=())
    """The nodes, one by one."""
    names: tuple[str, ...] = field(init=False, default=())
    """Their names."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "described", _described(self.nodes))
        put(self, "names", _node_names(self.described))
        put(self, "controllers", _words("controllers", self.controllers))
        put(self, "authorization", _words("authorization", self.authorization))
        if not isinstance(self.scheduler, bool):
            raise _wrong("scheduler", self.scheduler, "True or False")
        if not (self.serve is None or isinstance(self.serve, bool)):
            raise _wrong("serve", self.serve, "True or False")
        for mode in self.authorization:
            if mode not in MODES:
                raise _wrong("authorization", mode, f"some of {', '.join(MODES)}")
        if not self.authorization:
            raise _wrong("authorization", (), f"some of {', '.join(MODES)}")
        if self.time is not None and self.time not in TIMES:
            raise _wrong("time", self.time, f"one of {', '.join(TIMES)}")
        if self.serve and self.time == "simulated":
            raise _wrong("serve", True, "False with time='simulated', which knows no sockets (time='manual' does)")
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int)):
            raise _wrong("seed", self.seed, "a whole number")
        if any(word != "*" for word in self.controllers):
            self._check_controllers()
        if self.api is not None:
            self._check_api()
        put(self, "state", _state(self.state) if self.state is not None else None)
        self._check_store()

    def _check_store(self) -> None:
        if self.store is not None and not hasattr(self.store, "compact"):
            raise _wrong("store", self.store, "a pybernetes.store.protocol.Store")
        if self.store is not None and self.state is not None:
            raise OptionError("state and store do not go together: a cluster begins with one or the other")

    @property
    def checkpoint(self) -> "Checkpoint | None":
        """`state`, read."""
        from pybernetes.testing.checkpoint import Checkpoint

        return self.state if isinstance(self.state, Checkpoint) else None

    def _check_controllers(self) -> None:
        from pybernetes.controllers.runtime import chosen  # reads every controller: only where names are given

        try:
            chosen(self.controllers)
        except ValueError as error:
            raise OptionError(f"controllers: {error}") from None

    def _check_api(self) -> None:
        from pybernetes.apiserver.config import Config

        if not isinstance(self.api, Config):
            raise _wrong("api", self.api, "a pybernetes.apiserver.config.Config")


class OptionsByName(TypedDict, total=False):
    """The same, as keywords of Cluster() and SyncCluster()."""

    nodes: "int | Sequence[str | SimulatedNode]"
    controllers: str | Sequence[str]
    scheduler: bool
    authorization: Sequence[str]
    time: Time | None
    seed: int | None
    serve: bool | None
    api: "Config | None"
    store: "Store | None"
    state: "Checkpoint | Path | str | None"


def options_of(given: OptionsByName) -> Options:
    """Options by name. Raises OptionError, also for a name that is none."""
    known = [option.name for option in fields(Options) if option.init]
    for name in given:
        if name not in known:
            raise OptionError(f"there is no option {name!r}; known: {', '.join(known)}")
    return Options(**given)


def _state(given: object) -> "Checkpoint":
    from pybernetes.testing.checkpoint import Checkpoint

    if isinstance(given, str | Path):
        return Checkpoint.load(given)
    if not isinstance(given, Checkpoint):
        raise _wrong("state", given, "a Checkpoint or the path of one")
    return given


def _described(nodes: "int | Sequence[str | SimulatedNode]") -> "tuple[str | SimulatedNode, ...]":
    if isinstance(nodes, int) and not isinstance(nodes, bool):
        if not 0 <= nodes <= NODES_AT_MOST:
            raise _wrong("nodes", nodes, f"0 to {NODES_AT_MOST}, or their names")
        return tuple(f"node-{number}" for number in range(1, nodes + 1))
    if not isinstance(nodes, Sequence) or isinstance(nodes, str | bytes):
        raise _wrong("nodes", nodes, "a number, or a sequence of names and SimulatedNodes")
    if not all(isinstance(node, str) for node in nodes):
        from pybernetes.assembly.simulated.description import SimulatedNode  # only where there are some

        for node in nodes:
            if not isinstance(node, str | SimulatedNode):
                raise _wrong("nodes", node, "names and SimulatedNodes")
    return tuple(nodes)


def _node_names(nodes: "Sequence[str | SimulatedNode]") -> tuple[str, ...]:
    names = tuple(node if isinstance(node, str) else node.name for node in nodes)
    for name in names:
        if not _NAME.fullmatch(name) or len(name) > 253:
            raise _wrong("nodes", name, "names of lower case letters, digits, '-' and '.' (RFC 1123 subdomains)")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _wrong("nodes", twice[0], "names that differ")
    return names


def _words(option: str, value: Any) -> tuple[str, ...]:
    """A word, or several."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    if isinstance(value, Sequence) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise _wrong(option, value, "a sequence of words")


def _wrong(option: str, value: Any, allowed: str) -> OptionError:
    return OptionError(f"{option}: {value!r} is not allowed; allowed: {allowed}")
