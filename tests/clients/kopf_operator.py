"""An operator as people write them with kopf: a bakery's status and events, and a farewell before it is deleted."""

from typing import Any

import kopf


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.level = 20
    settings.persistence.finalizer = "operator.example.com/farewell"


@kopf.on.create("operator.example.com", "v1", "bakeries")
def opened(spec: kopf.Spec, patch: kopf.Patch, body: kopf.Body, **_: Any) -> dict[str, Any]:
    kopf.info(body, reason="Opened", message=f"{spec['ovens']} ovens are warm")
    patch.status["warm"] = True
    return {"ovens": spec["ovens"]}


@kopf.on.field("operator.example.com", "v1", "bakeries", field="spec.ovens")
def changed(old: int | None, new: int, patch: kopf.Patch, **_: Any) -> None:
    if old is not None:
        patch.status["ovens"] = new


@kopf.on.delete("operator.example.com", "v1", "bakeries")
def closed(name: str, body: kopf.Body, **_: Any) -> None:
    kopf.info(body, reason="Closed", message=f"{name} says goodbye")
