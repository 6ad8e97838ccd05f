"""An API server that is a file: serves list and watch of what the file says, for agents that run inside nodes.

Run as a program inside a node: `python world.py agent|proxy NODE FILE`.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pybernetes.aio.clock import SystemClock
from pybernetes.client.rest import Client
from pybernetes.wire.http import Headers, Request, Response

KINDS = {"nodes": "Node", "services": "Service", "endpointslices": "EndpointSlice"}


class FileWorld:
    """A Transport over {plural: [object, ...]} in a JSON file. Every change of the file is a new revision."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def __call__(self, request: Request) -> Response:
        parts = urlsplit(request.target)
        plural = parts.path.rsplit("/", 1)[1]
        if parse_qs(parts.query).get("watch"):
            return Response(200, body=self._watch(plural, parse_qs(parts.query)["resourceVersion"][0]))
        revision, objects = self._read(plural)
        listing = {"kind": f"{KINDS[plural]}List", "metadata": {"resourceVersion": revision}}
        return Response(200, Headers(), json.dumps(listing | {"items": list(objects.values())}).encode())

    def _read(self, plural: str) -> tuple[str, dict[str, Any]]:
        revision = str(self._file.stat().st_mtime_ns)
        found = {}
        for obj in json.loads(self._file.read_text()).get(plural, []):
            obj["metadata"] |= {"resourceVersion": revision, "uid": obj["metadata"]["name"]}
            found[obj["metadata"]["name"]] = obj
        return revision, found

    async def _watch(self, plural: str, since: str) -> AsyncIterator[bytes]:
        revision, before = self._read(plural)
        while True:
            await asyncio.sleep(0.03)
            fresh, now = self._read(plural)
            if fresh == revision:
                continue
            for name in before.keys() - now.keys():
                yield watch_event("DELETED", before[name], fresh)
            for name, obj in now.items():
                yield watch_event("MODIFIED" if name in before else "ADDED", obj, fresh)
            revision, before = fresh, now


def watch_event(kind: str, obj: dict[str, Any], revision: str) -> bytes:
    meta = obj["metadata"] | {"resourceVersion": revision}
    return json.dumps({"type": kind, "object": obj | {"metadata": meta}}).encode() + b"\n"


def node_object(name: str, address: str, cidr: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {},
        "status": {"addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]},
    }


def service_objects(name: str, address: str, node_port: int, pods: dict[str, str]) -> tuple[dict, dict]:
    """A Service on port 80 and its EndpointSlice; `pods`: node -> address, port 8080."""
    port = {"port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": node_port}
    service = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "NodePort", "clusterIP": address, "clusterIPs": [address], "ports": [port]},
    }
    piece = {
        "metadata": {
            "name": f"{name}-x", "namespace": "default", "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [ip], "nodeName": node, "conditions": {"ready": True}} for node, ip in pods.items()
        ],
        "ports": [{"port": 8080, "name": "", "protocol": "TCP"}],
    }  # fmt: skip
    return service, piece


def write_world(file: Path, **objects: list[dict[str, Any]]) -> None:
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(json.dumps(objects))
    fresh.rename(file)


async def _main(role: str, node: str, file: Path) -> None:
    client = Client(FileWorld(file), clock=SystemClock())
    if role == "agent":
        from pybernetes.network.agent import NetworkAgent
        from pybernetes.network.backends.direct import BACKEND

        await NetworkAgent(client, node, BACKEND).run()
    else:
        from pybernetes.proxy.proxy import Proxy

        await Proxy(client, node).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(_main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
