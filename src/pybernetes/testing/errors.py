"""What goes wrong around a cluster inside a test. Refusals of the API itself are api.errors, as for every client.

ClusterError
├── OptionError        an option is not what it may be       ├── ClosedClusterError  used before its start or after its end
├── WrongLoopError     used from another loop or thread      ├── CrashedError        one of its parts has failed
├── StartError         it cannot start on this machine       ├── NotInTimeError      what was waited for did not come
└── OrderError         a simulated Pod or node cannot do what it is told to
"""

FORKED = (
    "the cluster belongs to the process that this one was forked from: make another one here, or take a client "
    "with a kubeconfig() that was made before the fork"
)
"""What a WrongLoopError says in a child of os.fork()."""


class ClusterError(Exception):
    """Base of all: one line that says what to do."""


class OptionError(ClusterError, ValueError):
    """An option is not what it may be. Says what is allowed."""


class ClosedClusterError(ClusterError, ConnectionError):
    """The cluster is used before its start or after its end; for a client, a lost connection like any other."""


class WrongLoopError(ClusterError, RuntimeError):
    """The cluster is entered in, or used from, a loop, thread or process in which it cannot work."""


class StartError(ClusterError, OSError):
    """The cluster cannot start here: no free port, no folder for its files."""


class CrashedError(ClusterError, RuntimeError):
    """A part of the cluster has failed; `__cause__` is why."""


class NotInTimeError(ClusterError, TimeoutError):
    """What was waited for did not come. Says how the objects were last seen."""


class RealClusterError(ClusterError, RuntimeError):
    """Asked of a real cluster, what only one inside the test process can do. The pytest plugin skips the test."""


class OrderError(ClusterError, RuntimeError):
    """A simulated Pod or node cannot do what it is told to: it is not there, it has ended, it is not simulated."""
