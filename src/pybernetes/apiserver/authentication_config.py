"""The ConfigMap with which extension servers know this cluster's clients: the client CA, and who may front for users."""

import json

from pybernetes.api.errors import AlreadyExists, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.registry import Registry

NAMESPACE, NAME = "kube-system", "extension-apiserver-authentication"
_CONFIG_MAPS = GroupResource("", "configmaps")


async def ensure(registry: Registry, config: Config) -> None:
    """It holds at least what this server knows; CAs of other servers stay. Nothing is made where nothing is known."""
    data = _data(config)
    if not data:
        return

    def merged(obj: Object) -> Object | None:
        held = obj.get("data") or {}
        found = {**held, **data}
        for key in ("client-ca-file", "requestheader-client-ca-file"):
            if key in data and data[key].strip() in held.get(key, ""):
                found[key] = held[key]
            elif held.get(key) and key in data:
                found[key] = f"{held[key].rstrip()}\n{data[key]}"
        return None if found == held else {**obj, "data": found}

    try:
        await registry.update(_CONFIG_MAPS, NAMESPACE, NAME, merged)
    except NotFound:
        try:
            await registry.create(_CONFIG_MAPS, {"metadata": {"name": NAME, "namespace": NAMESPACE}, "data": data})
        except AlreadyExists:
            await registry.update(_CONFIG_MAPS, NAMESPACE, NAME, merged)


def _data(config: Config) -> dict[str, str]:
    found = {"client-ca-file": config.client_ca} if config.client_ca else {}
    front = config.front_proxy
    if front is None:
        return found
    lists = {
        "requestheader-allowed-names": front.allowed_names,
        "requestheader-extra-headers-prefix": front.extra_headers_prefix,
        "requestheader-group-headers": front.group_headers,
        "requestheader-username-headers": front.username_headers,
    }
    shown = {key: json.dumps(list(values), separators=(",", ":")) for key, values in lists.items()}
    return {**found, "requestheader-client-ca-file": front.client_ca, **shown}
