"""kubectl label: sets and removes labels."""

from pybernetes.kubectl.command import Command
from pybernetes.kubectl.marks import add_mark_flags, mark

COMMAND = Command(
    help="Update the labels on a resource",
    usage="label TYPE/NAME KEY=VALUE... KEY-...",
    examples="  kubectl label pod web tier=front\n  kubectl label pod web tier-",
    flags=add_mark_flags,
    run=mark("labels", "labeled", "label"),
)
