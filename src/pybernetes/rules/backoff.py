"""Exponential back-off: how long to wait before what has failed is tried again. Jitter is the caller's."""


def exponential(failures: int, first: float, most: float) -> float:
    """Seconds after so many failures before this one: `first`, twice as long each time, never more than `most`."""
    return min(first * 2.0 ** min(failures, 60), most)
