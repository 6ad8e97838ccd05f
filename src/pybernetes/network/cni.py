"""The language between a container runtime and the pod network: CNI spec 0.3 to 1.0. Pure; agent.py speaks it.

A request is what the plugin program (native/cni.c) sends: its CNI_* environment and its standard input.
"""

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

SUPPORTED = ("0.3.0", "0.3.1", "0.4.0", "1.0.0")
GATEWAY = "169.254.1.1"
"""Every Pod's gateway: link-local, answered by nobody; a permanent neighbour entry leads to the node's end."""

INCOMPATIBLE_VERSION, INVALID_ENVIRONMENT, IO_FAILURE, DECODING_FAILURE = 1, 4, 5, 6
INVALID_CONFIG, TRY_AGAIN_LATER, CHECK_FAILED = 7, 11, 100


class CniError(Exception):
    """A refusal with its number of the CNI spec."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.details = details

    def wire(self, version: str) -> dict[str, Any]:
        """As the spec's error result."""
        error: dict[str, Any] = {"cniVersion": version, "code": self.code, "msg": str(self)}
        return error | ({"details": self.details} if self.details else {})


class Request(Struct, frozen=True):
    """One call of the plugin."""

    command: str
    container: str
    netns: str
    interface: str
    arguments: Mapping[str, str]
    """CNI_ARGS: K8S_POD_NAMESPACE, K8S_POD_NAME, ..."""
    version: str
    plugin: str
    """The configuration's `type`: which of the programs was called."""
    config: dict[str, Any]

    @property
    def pod(self) -> str:
        """namespace/name, for logs."""
        return f"{self.arguments.get('K8S_POD_NAMESPACE', '')}/{self.arguments.get('K8S_POD_NAME', '')}"


class Attached(Struct, frozen=True):
    """What ADD made."""

    address: str
    host_interface: str
    host_mac: str
    pod_mac: str


def parse_request(data: bytes) -> Request:
    """Reads what the plugin program sends. Raises CniError."""
    head, separator, body = data.partition(b"\n\n")
    if not separator:
        raise CniError(DECODING_FAILURE, "request without an empty line after its variables")
    variables: dict[str, str] = {}
    for line in head.decode(errors="replace").splitlines():
        name, _, value = line.partition("=")
        variables[name] = value
    try:
        config = json.loads(body) if body.strip() else {}
    except ValueError as error:
        raise CniError(DECODING_FAILURE, f"network configuration is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CniError(DECODING_FAILURE, "network configuration is not a JSON object")
    request = Request(
        command=variables.get("CNI_COMMAND", ""),
        container=variables.get("CNI_CONTAINERID", ""),
        netns=variables.get("CNI_NETNS", ""),
        interface=variables.get("CNI_IFNAME", ""),
        arguments=dict(a.split("=", 1) for a in variables.get("CNI_ARGS", "").split(";") if "=" in a),
        version=str(config.get("cniVersion") or "0.3.1"),
        plugin=str(config.get("type", "")),
        config=config,
    )
    _check(request)
    return request


def _check(request: Request) -> None:
    if request.command not in ("ADD", "DEL", "CHECK", "VERSION"):
        raise CniError(INVALID_ENVIRONMENT, f"CNI_COMMAND {request.command!r} is unknown")
    if request.command == "VERSION":
        return
    if request.version not in SUPPORTED:
        raise CniError(INCOMPATIBLE_VERSION, f"cniVersion {request.version} is not supported, only {SUPPORTED}")
    wanted = {"CNI_CONTAINERID": request.container, "CNI_IFNAME": request.interface}
    if request.command != "DEL":  # a runtime may have lost the namespace before it cleans up
        wanted["CNI_NETNS"] = request.netns
    missing = [name for name, value in wanted.items() if not value]
    if missing:
        raise CniError(INVALID_ENVIRONMENT, f"{', '.join(missing)} is empty")
    if len(request.interface) > 15 or "/" in request.interface:
        raise CniError(INVALID_ENVIRONMENT, f"CNI_IFNAME {request.interface!r} is no interface name")


def version_result(version: str) -> dict[str, Any]:
    """The answer to VERSION."""
    return {"cniVersion": version if version in SUPPORTED else SUPPORTED[-1], "supportedVersions": list(SUPPORTED)}


def add_result(request: Request, attached: Attached) -> dict[str, Any]:
    """The answer to ADD of a Pod's interface."""
    address: dict[str, Any] = {"interface": 1, "address": f"{attached.address}/32", "gateway": GATEWAY}
    return {
        "cniVersion": request.version,
        "interfaces": [
            {"name": attached.host_interface, "mac": attached.host_mac},
            {"name": request.interface, "mac": attached.pod_mac, "sandbox": request.netns},
        ],
        "ips": [_numbered(request.version, address)],
        "routes": [{"dst": "0.0.0.0/0", "gw": GATEWAY}],
        "dns": {},
    }


def loopback_result(request: Request) -> dict[str, Any]:
    """The answer to ADD of the loopback."""
    if "prevResult" in request.config:
        return dict(request.config["prevResult"])
    return {
        "cniVersion": request.version,
        "interfaces": [{"name": request.interface, "mac": "00:00:00:00:00:00", "sandbox": request.netns}],
        "ips": [_numbered(request.version, {"interface": 0, "address": "127.0.0.1/8"})],
        "dns": {},
    }


def _numbered(version: str, address: dict[str, Any]) -> dict[str, Any]:
    """Before 1.0 an address says its family."""
    return address if version.startswith("1.") else {"version": "4", **address}
