"""The messages of etcd's v3 API that we use, with their numbers in its rpc.proto and kv.proto.

Built here rather than taken from a package: generated modules claim names like `rpc.proto` in the pool of the whole
process. Enums are numbers, and so are the members of a `oneof` plain fields: on the wire they are the same.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from msgspec import Struct

_PACKAGE = "etcdserverpb"
_SCALARS = {
    "bytes": Field.TYPE_BYTES,
    "string": Field.TYPE_STRING,
    "bool": Field.TYPE_BOOL,
    "int": Field.TYPE_INT64,
    "uint": Field.TYPE_UINT64,
}
# name, number, type; a star before the type: many of them.
_MESSAGES = {
    "ResponseHeader": "cluster_id 1 uint, member_id 2 uint, revision 3 int, raft_term 4 uint",
    "KeyValue": "key 1 bytes, create_revision 2 int, mod_revision 3 int, version 4 int, value 5 bytes, lease 6 int",
    "Event": "type 1 int, kv 2 KeyValue, prev_kv 3 KeyValue",
    "RangeRequest": "key 1 bytes, range_end 2 bytes, limit 3 int, revision 4 int, keys_only 8 bool, count_only 9 bool",
    "RangeResponse": "header 1 ResponseHeader, kvs 2 *KeyValue, more 3 bool, count 4 int",
    "PutRequest": "key 1 bytes, value 2 bytes, lease 3 int",
    "DeleteRangeRequest": "key 1 bytes, range_end 2 bytes",
    "RequestOp": "request_range 1 RangeRequest, request_put 2 PutRequest, request_delete_range 3 DeleteRangeRequest",
    "ResponseOp": "response_range 1 RangeResponse",
    "Compare": "result 1 int, target 2 int, key 3 bytes, mod_revision 6 int",
    "TxnRequest": "compare 1 *Compare, success 2 *RequestOp, failure 3 *RequestOp",
    "TxnResponse": "header 1 ResponseHeader, succeeded 2 bool, responses 3 *ResponseOp",
    "CompactionRequest": "revision 1 int, physical 2 bool",
    "CompactionResponse": "header 1 ResponseHeader",
    "LeaseGrantRequest": "TTL 1 int, ID 2 int",
    "LeaseGrantResponse": "header 1 ResponseHeader, ID 2 int, TTL 3 int, error 4 string",
    "WatchCreateRequest": "key 1 bytes, range_end 2 bytes, start_revision 3 int, prev_kv 6 bool",
    "WatchRequest": "create_request 1 WatchCreateRequest",
    "WatchResponse": "header 1 ResponseHeader, watch_id 2 int, created 3 bool, canceled 4 bool, compact_revision 5 int,"
    " cancel_reason 6 string, events 11 *Event",
}


def _built() -> DescriptorPool:
    file = FileDescriptorProto(name="pybernetes/etcd.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split(","):
            field, number, kind = text.split()
            many, kind = kind.startswith("*"), kind.removeprefix("*")
            message.field.add(
                name=field,
                number=int(number),
                label=Field.LABEL_REPEATED if many else Field.LABEL_OPTIONAL,
                type=_SCALARS.get(kind),
                type_name=None if kind in _SCALARS else f".{_PACKAGE}.{kind}",
            )
    pool = DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _built()


def _message(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


RangeRequest = _message("RangeRequest")
TxnRequest = _message("TxnRequest")
RequestOp = _message("RequestOp")
Compare = _message("Compare")
CompactionRequest = _message("CompactionRequest")
LeaseGrantRequest = _message("LeaseGrantRequest")
WatchCreateRequest = _message("WatchCreateRequest")
WatchRequest = _message("WatchRequest")
WatchResponse = _message("WatchResponse")

EQUAL = 0
"""Compare.CompareResult."""
MOD = 2
"""Compare.CompareTarget: the revision of the last write."""
DELETE = 1
"""Event.EventType."""
WATCH = f"/{_PACKAGE}.Watch/Watch"


class Method(Struct, frozen=True):
    """A call with one answer."""

    path: str
    answer: Any
    """Class of the answer."""


RANGE = Method(f"/{_PACKAGE}.KV/Range", _message("RangeResponse"))
TXN = Method(f"/{_PACKAGE}.KV/Txn", _message("TxnResponse"))
COMPACT = Method(f"/{_PACKAGE}.KV/Compact", _message("CompactionResponse"))
LEASE_GRANT = Method(f"/{_PACKAGE}.Lease/LeaseGrant", _message("LeaseGrantResponse"))
