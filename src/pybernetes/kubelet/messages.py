"""Termination messages: what a container wrote to terminationMessagePath, or the end of its log. executor.py reads them."""

from pathlib import Path

from pybernetes.kubelet.server.log_format import tail

_LIMIT = 4096
_LOG_LIMIT, _LOG_LINES = 2048, 80


def read_message(file: Path, log: Path | None) -> str:
    """At most 4096 bytes of the file; of the log's last lines where it is empty and `log` is given. Blocking."""
    try:
        with file.open("rb") as opened:
            said = opened.read(_LIMIT).decode(errors="replace")
    except OSError:
        said = ""
    if said or log is None:
        return said
    try:
        return tail(log, _LOG_LINES)[-_LOG_LIMIT:].decode(errors="replace")
    except OSError:
        return ""
