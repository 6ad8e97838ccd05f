"""What small worlds leave out: kinds that nobody plays, who works for them alone, Events, and fairness among clients.

Nothing happens there in a world, and yet it is most of what one costs: lists, watches, discovery, heartbeats. Every so many
seeds a world is whole (lives.py).
"""

from functools import lru_cache

import orjson

from pybernetes.api.errors import NotFound
from pybernetes.apiserver.config import Config, InFlight
from pybernetes.controllers.runtime import Controller, known
from pybernetes.scheduler.loop import SchedulerConfig
from pybernetes.wire.http import Request, Response

IDLE = frozenset(
    f"{name}-controller" for name in (
        "certificatesigningrequest-approving", "certificatesigningrequest-cleaner", "certificatesigningrequest-signing",
        "clusterrole-aggregation", "device-taint-eviction", "kube-apiserver-serving-clustertrustbundle-publisher",
        "legacy-serviceaccount-token-cleaner", "local-path-provisioner", "podcertificaterequest-cleaner",
        "resourceclaim", "root-ca-certificate-publisher", "selinux-warning", "service-cidrs",
        "storage-version-migrator", "storageversion-garbage-collector", "validatingadmissionpolicy-status",
        "volumeattributesclass-protection",
    )
)  # fmt: skip
"""Controllers that have nothing to do in any cast."""
HIDDEN_GROUPS = frozenset(
    {
        "admissionregistration.k8s.io", "apiregistration.k8s.io", "certificates.k8s.io", "coordination.k8s.io",
        "flowcontrol.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io",
        "resource.k8s.io", "scheduling.k8s.io", "storagemigration.k8s.io",
    }
)  # fmt: skip
HIDDEN = frozenset(
    {"podtemplates", "limitranges", "csidrivers", "csinodes", "csistoragecapacities", "volumeattributesclasses"}
)
"""Of groups that are played otherwise."""
RENEW = 20.0
"""Seconds between renewals of a node's Lease: twice the usual."""
MONITOR = 10.0
"""Seconds between looks at the nodes: twice the usual."""
SERVER = Config(in_flight=InFlight(reading=0, mutating=0, fair=False))
SCHEDULER = SchedulerConfig(disabled=("DynamicResources",))


def controllers() -> dict[str, Controller]:
    """All that are on by default, but for those that are idle."""
    return {name: one for name, one in sorted(known().items()) if one.default_on and name not in IDLE}


def answered(request: Request) -> Response | None:
    """What is not asked of the server: Events, which no rule looks at."""
    if request.method == "GET" or "/events" not in request.target:
        return None
    if request.method == "POST":
        return Response(201, body=request.body)
    return Response(404, body=_NO_EVENT)  # so that it is made anew


_NO_EVENT = orjson.dumps(NotFound("no Event is kept").status())


def shown(request: Request, response: Response) -> Response:
    """Discovery without what nobody plays."""
    if request.target in ("/api", "/apis") and response.status == 200 and isinstance(response.body, bytes):
        return Response(200, response.headers, _without_hidden(response.body))
    return response


@lru_cache(16)
def _without_hidden(body: bytes) -> bytes:
    listing = orjson.loads(body)
    if listing.get("kind") != "APIGroupDiscoveryList":
        return body
    listing["items"] = [group for group in listing["items"] if group["metadata"].get("name") not in HIDDEN_GROUPS]
    for group in listing["items"]:
        for version in group["versions"]:
            version["resources"] = [one for one in version["resources"] if one["resource"] not in HIDDEN]
    return orjson.dumps(listing)
