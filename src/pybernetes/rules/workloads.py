"""Arithmetic that workload controllers share: int-or-percent fields. scaledown.py says which Pods go first."""


def scaled(value: int | str | None, total: int, *, round_up: bool, default: int | str = 0) -> int:
    """An IntOrString of `total`: `"25%"` of it, or the number itself. Raises ValueError for other texts."""
    chosen = default if value is None else value
    if isinstance(chosen, int):
        return chosen
    if not chosen.endswith("%") or not chosen[:-1].isdigit():
        raise ValueError(f"invalid value for IntOrString: invalid type: string is not a percentage: {chosen!r}")
    product = int(chosen[:-1]) * total
    return -(-product // 100) if round_up else product // 100


def surge_and_unavailable(surge: int | str | None, unavailable: int | str | None, wanted: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) of a rolling update as numbers; never both zero, or it could not move."""
    most = scaled(surge, wanted, round_up=True, default="25%")
    missing = scaled(unavailable, wanted, round_up=False, default="25%")
    return (most, missing) if most or missing else (0, 1)
