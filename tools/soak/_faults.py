"""What was logged as a fault of the project's own, while a soak ran."""

import logging

from pybernetes.api.errors import ApiError


class Faults(logging.Handler):
    """Keeps what a Guard caught that is no refusal and no lost connection."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, ApiError | OSError):
            self.found.append(f"{record.getMessage()}: {type(error).__name__}: {error}")
