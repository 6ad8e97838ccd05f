"""Many requests at once, carefully: slow start for what may be refused, everything together for what may not."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from pybernetes.api.errors import ApiError

Work: TypeAlias = Callable[[], Awaitable[ApiError | None]]
"""One request: returns the refusal instead of raising it."""


async def slow_start(work: Sequence[Work]) -> ApiError | None:
    """1, 2, 4, ...: a template that is refused costs few requests. Returns the refusal that stopped it."""
    done, size = 0, 1
    while done < len(work):
        failure = await together(work[done : done + size])
        if failure is not None:
            return failure
        done += size
        size *= 2
    return None


async def together(work: Sequence[Work]) -> ApiError | None:
    """All at once; lost connections are raised after all are through."""
    results = await asyncio.gather(*(one() for one in work), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, ApiError):
            raise result
    return next((result for result in results if isinstance(result, ApiError)), None)


def of_ending_namespace(error: ApiError) -> bool:
    """Nothing can be made there any more, and nothing need be said or tried again."""
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.details.get("causes") or ())
