"""What is stored is what Go would store: every object encodes as its Struct does, byte for byte."""

from importlib import import_module

import msgspec
import orjson
from tests.component.resources.test_access import CSRS, RBAC, csr
from tests.component.resources.test_core import CORE, pod
from tests.component.resources.test_services import service
from tests.component.resources.test_workloads import APPS, deployment

META = {"metadata": {"name": "x"}}
FULL = pod(
    "full",
    hostNetwork=True,
    volumes=[{"name": "v"}, {"name": "h", "hostPath": {"path": "/"}}],
    initContainers=[{"name": "i", "image": "i", "restartPolicy": "Always"}],
    topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"}],
)
FULL["spec"]["containers"][0] |= {
    "ports": [{"containerPort": 80}],
    "env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
    "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}},
    "livenessProbe": {"grpc": {"port": 80}},
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
}


async def test_every_stored_object_encodes_as_its_struct(api):
    for path, body in (
        (f"{CORE}/pods", pod()),
        (f"{CORE}/pods", FULL),
        (f"{CORE}/services", service(type="LoadBalancer", externalTrafficPolicy="Local", sessionAffinity="ClientIP")),
        (
            f"{CORE}/services",
            service("dns", ports=[{"port": 53, "name": "a"}, {"port": 53, "name": "b", "protocol": "UDP"}]),
        ),
        (f"{CORE}/secrets", {**META, "stringData": {"a": "b"}}),
        (
            f"{CORE}/events",
            {**META, "involvedObject": {"namespace": "default"}, "firstTimestamp": "2026-01-01T00:00:00Z"},
        ),
        (f"{CORE}/endpoints", {**META, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}),
        (f"{CORE}/replicationcontrollers", {**META, "spec": {"template": deployment()["spec"]["template"]}}),
        (f"{APPS}/deployments", deployment()),
        (f"{APPS}/replicasets", deployment()),
        ("/api/v1/nodes", {**META, "status": {"capacity": {"cpu": "1"}}}),
        (
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
            {**META, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 1}]},
        ),
        (
            "/apis/coordination.k8s.io/v1/namespaces/default/leases",
            {**META, "spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}},
        ),
        (CSRS, csr()),
        (f"{RBAC}/namespaces/default/roles", META),
    ):
        await api.made(path, body)
    await api("POST", f"{CORE}/bindings", {"metadata": {"name": "web"}, "target": {"name": "n1"}})
    await api("POST", f"{CORE}/pods/web/eviction", {"metadata": {"name": "web"}})
    _, stored = await api("GET", f"{CSRS}/c")
    verdict = {"conditions": [{"type": "Approved", "status": "True"}]}
    assert (await api("PUT", f"{CSRS}/c/approval", {**stored, "status": verdict}))[0] == 200
    storage = api.server.storage
    kinds = set()
    for served in storage.catalog:
        if served.resource.create is not None or served.source is not None or not served.facts.module:
            continue
        struct = getattr(import_module(f"pybernetes.api.types.{served.facts.module}"), served.facts.kind)
        for obj in await storage.list(served.gr):
            kinds.add(served.facts.kind)
            obj["metadata"].pop("resourceVersion")
            body = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
            encoded = orjson.dumps(body)
            again = orjson.loads(msgspec.json.encode(msgspec.json.decode(encoded, type=struct)))
            for name in ("kind", "apiVersion"):
                again.pop(name, None)
            assert orjson.dumps(again) == encoded, served.facts.kind
    assert len(kinds) >= 17
