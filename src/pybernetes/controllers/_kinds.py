"""Where a kind is served, for controllers that are told of objects of any kind: by discovery, asked when it must be."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pybernetes.client.discovery import Served, discover
from pybernetes.client.rest import Client

REFRESH = 30.0
"""Seconds between two looks at discovery at least; it has no watch, and none is taken while all kinds asked for are known."""


@dataclass(slots=True)
class Kinds:
    """Resources by (group, kind), whatever the version."""

    served: dict[tuple[str, str], list[Served]] = field(default_factory=dict)
    at: float = float("-inf")

    async def find(self, client: Client, group: str, kind: str, *, again: bool = False) -> Sequence[Served]:
        """None for a kind that nobody serves. `again`: it could not be found where it was. Raises ApiError, OSError."""
        now = client.clock.monotonic()
        if (again or (group, kind) not in self.served) and now >= self.at + REFRESH:
            found: dict[tuple[str, str], list[Served]] = {}
            for one in (await discover(client)).resources:
                found.setdefault((one.target.group, one.target.kind), []).append(one)
            self.served, self.at = found, now
        return self.served.get((group, kind), ())
