"""kubectl annotate: sets and removes annotations."""

from pybernetes.kubectl.command import Command
from pybernetes.kubectl.marks import add_mark_flags, mark

COMMAND = Command(
    help="Update the annotations on a resource",
    usage="annotate TYPE/NAME KEY=VALUE... KEY-...",
    examples="  kubectl annotate pod web note='mine'\n  kubectl annotate pod web note-",
    flags=add_mark_flags,
    run=mark("annotations", "annotated", "annotation"),
)
