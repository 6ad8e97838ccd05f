"""When a CronJob runs: its schedule and whose clock counts."""

import re

from pybernetes.api.errors import invalid_value, required
from pybernetes.apiserver.validation.fields import FieldErrors
from pybernetes.rules import cron

_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}", re.ASCII)


def validate_schedule(text: str, path: str) -> FieldErrors:
    """A cron schedule, without a time zone of its own."""
    if not text:
        yield required(path)
        return
    try:
        cron.parse(text)
    except ValueError as error:
        yield invalid_value(path, text, str(error))
    if "TZ" in text:
        yield invalid_value(path, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")


def validate_time_zone(name: str | None, path: str) -> FieldErrors:
    """A name of the IANA database; None: the clock of the controller."""
    if name is None:
        return
    if not name:
        yield invalid_value(path, name, "timeZone must be nil or non-empty string")
        return
    for part in name.split("/"):
        if part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part):
            yield invalid_value(path, name, f"unknown time zone {name}")
            return
    if name.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid_value(path, name, text)
    if name != "Local":
        try:
            cron.time_zone(name)
        except ValueError as error:
            yield invalid_value(path, name, str(error))
