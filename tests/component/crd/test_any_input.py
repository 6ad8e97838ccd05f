"""Whatever a client sends, definitions and their objects are refused with words or stored: never a fault of the server."""

import asyncio
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.component.api import serving
from tests.component.crd.definitions import CRDS, WIDGETS, Api, crd_of
from tests.unit.apiserver.crd.test_laws import JSON, SCHEMAS

_TYPES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


@given(st.lists(SCHEMAS, min_size=1, max_size=3), st.lists(JSON, min_size=1, max_size=4), st.integers(0, 2**32))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_nothing_that_is_sent_is_a_fault_of_the_server(schemas: list[Any], values: list[Any], seed: int) -> None:
    asyncio.run(_sent(schemas, values, random.Random(seed)))


async def _sent(schemas: list[Any], values: list[Any], chance: random.Random) -> None:
    async with serving(Api, account=False) as api:
        properties = {f"p{number}": schema for number, schema in enumerate(schemas)}
        column = {"name": "C", "type": "string", "jsonPath": ".p0[*].a"}
        crd = crd_of(properties, additionalPrinterColumns=[column], subresources={"status": {}})
        code, answer = await api("POST", CRDS, crd)
        assert code in (201, 400, 422), answer
        for value in values:
            code, answer = await api("POST", f"{CRDS}?dryRun=All", _broken(crd, value, chance))
            assert code < 500, answer
        if code == 201 or (await api("GET", f"{CRDS}/widgets.example.com"))[0] == 200:
            await api.established("widgets.example.com")
            await _objects(api, values, chance)


async def _objects(api: Api, values: list[Any], chance: random.Random) -> None:
    for number, value in enumerate(values):
        body = {"metadata": {"name": f"o{number}"}, "p0": value, "p1": value}
        for method, target, sent, more in (
            ("POST", WIDGETS, body, {}),
            ("POST", f"{WIDGETS}?fieldValidation=Strict&dryRun=All", value, {}),
            ("PATCH", f"{WIDGETS}/o0", value, {"content_type": chance.choice(_TYPES)}),
            ("PATCH", f"{WIDGETS}/o0/status", {"status": value}, {}),
            ("PATCH", f"{WIDGETS}/o{number}?fieldManager=x", {**body, "p0": value}, {"content_type": _TYPES[2]}),
            ("GET", WIDGETS, None, {"accept": TABLE}),
        ):
            code, answer = await api(method, target, sent, **more)
            assert code < 500, (method, target, answer)


def _broken(crd: Any, value: Any, chance: random.Random) -> Any:
    """The definition with a value somewhere it does not belong."""
    if not isinstance(crd, dict | list) or not crd or chance.random() < 0.2:
        return value
    keys = list(crd) if isinstance(crd, dict) else list(range(len(crd)))
    key = chance.choice(keys)
    copy = dict(crd) if isinstance(crd, dict) else list(crd)
    copy[key] = _broken(crd[key], value, chance)
    return copy
