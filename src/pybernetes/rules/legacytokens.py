"""What is noted of ServiceAccount tokens that live in Secrets (KEP-2799): labels of the Secret, days in UTC as values.

The API server notes uses and refuses invalid ones; legacy-serviceaccount-token-cleaner-controller marks and removes.
"""

import re
from datetime import UTC, datetime

LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
"""The ConfigMap in kube-system that says since when uses are noted."""
SINCE = "since"
"""Its key."""
DAY = 24 * 3600.0
"""Seconds."""
_FORM = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def day_of(seconds: float) -> str:
    """The day of a moment (seconds since 1970), as `2026-01-31`: days compare as their texts do."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def start_of(day: str) -> float | None:
    """When a day begins, seconds since 1970; None for a text that is no day."""
    if not _FORM.fullmatch(day):
        return None
    try:
        return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
