"""Go's typed clients speak protobuf: every kind is made, replaced, listed and deleted so."""

import pytest
from tests.component import api as component
from tests.examples_of_kinds import example, keys

from pybernetes.api import schema
from pybernetes.api.objects import GroupVersionKind
from pybernetes.wire.codecs import protobuf

PROTOBUF = "application/vnd.kubernetes.protobuf"
BOTH = f"{PROTOBUF},application/json"
STORED = [key for key in keys() if key[0] not in ("authentication.k8s.io", "authorization.k8s.io")]


def body(obj, group, version):
    name = schema.type_name(GroupVersionKind(group, version, obj["kind"]))
    return protobuf.encode_object(obj, name)


@pytest.mark.parametrize(("group", "version", "plural"), STORED)
async def test_a_kind_is_written_and_read_as_protobuf(group, version, plural):
    obj = example(group, version, plural)
    namespace = obj["metadata"].get("namespace")
    base = f"/apis/{group}/{version}" if group else "/api/v1"
    path = f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"
    obj["metadata"]["labels"] = {"made": "so"}
    async with component.serving() as api:
        code, made = await api("POST", path, body(obj, group, version), content_type=PROTOBUF)
        assert code == 201, made
        one = f"{path}/{made['metadata']['name']}"
        made = await api.ok("GET", one)
        made["metadata"]["annotations"] = {"updated": "true", **made["metadata"].get("annotations", {})}
        code, raw = await api("PUT", one, body(made, group, version), content_type=PROTOBUF, accept=BOTH)
        assert code == 200, raw
        assert protobuf.decode_object(raw)["metadata"]["annotations"]["updated"] == "true"
        code, raw = await api("GET", f"{path}?labelSelector=made%3Dso", accept=BOTH)
        assert (code, len(protobuf.decode_object(raw)["items"])) == (200, 1)
        options = body({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}, "", "v1")
        target = one if plural == "namespaces" else f"{path}?labelSelector=made%3Dso"
        code, raw = await api("DELETE", target, options, content_type=PROTOBUF, accept=BOTH)
        assert code == 200, raw
