"""Tolerations merged and compared: RuntimeClass, PodTolerationRestriction and ExtendedResourceToleration share it."""

from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api.objects import Object


def merged(first: Iterable[Object], second: Iterable[Object]) -> list[Object]:
    """Both lists as one, without what another of them covers; of equal ones the first stays."""
    every = [*first, *second]
    kept: list[Object] = []
    for at, one in enumerate(every):
        if any(covers(other, one) for other in kept):
            continue
        if any(other != one and covers(other, one) for other in every[at + 1 :]):
            continue
        kept.append(one)
    return kept


def covers(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    """Whether `wide` tolerates whatever `narrow` does."""
    if wide == narrow:
        return True
    operator = wide.get("operator") or "Equal"
    if narrow.get("key") != wide.get("key") and (wide.get("key") or operator != "Exists"):
        return False
    if wide.get("effect") and narrow.get("effect") != wide["effect"]:
        return False
    if wide.get("effect") == "NoExecute" and wide.get("tolerationSeconds") is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or seconds > wide["tolerationSeconds"]:
            return False
    if operator == "Equal":
        return narrow.get("operator") == "Equal" and narrow.get("value") == wide.get("value")
    return bool(operator == "Exists")
