"""Gives a Service its IP families, ClusterIPs and node ports before it is stored (KEP-563).

What is free: service_addresses.py; what is another's between servers: service_claims.py.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from pybernetes.api.errors import FieldError, InternalError, invalid, invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.resources.core._service_fields import (
    HEADLESS,
    WITH_NODE_PORTS,
    checks_health,
    family_of,
    has_address,
    is_headless,
)
from pybernetes.apiserver.service_addresses import Item, ServiceAddresses

_SINGLE, _PREFER, _REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}
_TAKEN_IP, _TAKEN_PORT = "provided IP is already allocated", "provided port is already allocated"
_TRIES = 16
"""Choices that another server may have made at the same moment."""


async def allocate(call: Call, obj: Object, old: Object | None) -> None:
    """A before_write hook. Raises Invalid for what is taken or out of range; nothing stays promised after the write."""
    addresses = call.registry.service_addresses
    call.ended.append(partial(addresses.forget, obj))
    asked = _Asked(obj, old, addresses)
    for _ in range(_TRIES):
        asked.begin()
        faults = [*_families(asked)] or [*_cluster_ips(asked), *_node_ports(asked)]
        if faults:
            raise invalid("", "Service", obj["metadata"].get("name", ""), faults)
        if call.dry_run or addresses.claims is None:
            return
        lost = await addresses.claims.take(call, obj, [item for item in asked.chosen if item not in asked.claimed])
        asked.claimed += [item for item in asked.chosen if item not in lost and item not in asked.claimed]
        if not lost:
            return
        if faults := [*asked.refused(lost)]:
            raise invalid("", "Service", obj["metadata"].get("name", ""), faults)
        asked.drop(lost)
    raise _full("failed to allocate a serviceIP: other servers take whatever is chosen")


async def release(call: Call, obj: Object, old: Object | None) -> None:
    """An after_delete hook: the claims go with the Service. Should the server die here, repair takes them back."""
    claims = call.registry.service_addresses.claims
    if claims is not None:
        await claims.clear()


class _Asked:
    """One Service on its way, and what was chosen for it."""

    def __init__(self, obj: Object, old: Object | None, addresses: ServiceAddresses) -> None:
        self.spec: Object = obj["spec"]
        self.before: Mapping[str, Any] | None = (old.get("spec") or {}) if old is not None else None
        self.uid: str = obj["metadata"].get("uid", "")
        self.addresses = addresses
        self.chosen: dict[Item, str] = {}
        """To the field that asked for it; empty where the server chose."""
        self.claimed: list[Item] = []

    def begin(self) -> None:
        """Once more: what is claimed already stays."""
        self.chosen = dict.fromkeys(self.claimed, "")

    def given(self, item: Item, field: str) -> bool:
        """What the client asked for. False where it is taken."""
        if item in self.claimed:
            return True
        if not self.addresses.is_free(item):
            return False
        self.addresses.promise(item, self.uid)
        self.chosen[item] = field
        return True

    def address(self, family: str) -> str:
        """One that the server chooses: first what it claimed beside a first address that was lost."""
        for item in self.claimed:
            if isinstance(item, str) and family_of(item) == family:
                return item
        found = self.addresses.next_address(family, self.uid)
        if found is None:
            raise _full("failed to allocate a serviceIP: range is full")
        self.chosen[found] = ""
        return found

    def port(self) -> int:
        """The same of node ports."""
        found = self.addresses.next_node_port(self.uid)
        if found is None:
            raise _full("failed to allocate a nodePort: range is full")
        self.chosen[found] = ""
        return found

    def refused(self, lost: Iterable[Item]) -> Iterator[FieldError]:
        """Faults of what the client asked for and another server has given away."""
        for item in lost:
            field = self.chosen[item]
            if field and isinstance(item, str):
                yield _no_address(self.spec, item, _TAKEN_IP)
            elif field:
                yield invalid_value(field, item, _TAKEN_PORT)

    def drop(self, lost: Collection[Item]) -> None:
        """Takes the server's choices out of the Service again."""
        for port in self.spec.get("ports") or ():
            if port.get("nodePort") in lost:
                port.pop("nodePort")
        if self.spec.get("healthCheckNodePort") in lost:
            self.spec.pop("healthCheckNodePort")
        held = [ip for ip in self.spec.get("clusterIPs") or () if ip not in lost]
        if self.spec.get("clusterIP") in lost:
            held = []  # the second would become the first
            self.spec.pop("clusterIP")
        self.spec["clusterIPs"] = held


def _full(text: str) -> InternalError:
    return InternalError(f"Internal error occurred: {text}")


def _families(asked: _Asked) -> Iterator[FieldError]:
    """ipFamilyPolicy and ipFamilies, from what was asked and what the cluster has."""
    spec, before, configured = asked.spec, asked.before, asked.addresses.families
    if not has_address(spec) or _stays_as_preferred(spec, before):
        return
    bare = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
    if spec.get("ipFamilyPolicy") is None:
        held = before.get("ipFamilyPolicy") if before is not None else None
        spec["ipFamilyPolicy"] = held or (_REQUIRE if bare else _SINGLE)
    faults = [*_left_dual_stack(spec, before), *_several_of_single(spec), *_infer(spec, configured)]
    if faults:
        yield from faults
        return
    policy, families = spec["ipFamilyPolicy"], spec.get("ipFamilies") or []
    if not bare:
        if policy == _REQUIRE and len(configured) < 2:
            why = "this cluster is not configured for dual-stack services"
            faults.append(invalid_value("spec.ipFamilyPolicy", policy, why))
        for index, family in enumerate(families):
            if family not in configured:
                faults.append(invalid_value(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
        if faults:
            yield from faults
            return
    families = list(families or configured[:1])
    if policy != _SINGLE and len(families) == 1 and (bare or len(configured) > 1):
        families.append(_OTHER[families[0]])
    spec["ipFamilies"] = families


def _stays_as_preferred(spec: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    """A Service that prefers two families keeps what it has when the cluster gains or loses one."""
    return (
        before is not None
        and spec.get("type") == before.get("type")
        and spec.get("ipFamilyPolicy") == _PREFER
        and before.get("ipFamilyPolicy") in (None, _PREFER)
        and (spec.get("clusterIPs") or []) == (before.get("clusterIPs") or [])
        and (spec.get("ipFamilies") or []) == (before.get("ipFamilies") or [])
    )


def _left_dual_stack(spec: Object, before: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if before is None:
        return
    policy = spec["ipFamilyPolicy"]
    for field, called in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        new, held = spec.get(field) or [], before.get(field) or []
        if policy == _SINGLE:
            if new == held and len(new) > 1:
                spec[field] = new[:1]
        elif 0 < len(new) < len(held):
            yield invalid_value(
                "spec.ipFamilyPolicy", policy, f"must be 'SingleStack' to release the secondary {called}"
            )


def _several_of_single(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    if spec["ipFamilyPolicy"] != _SINGLE:
        return
    for field, called in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if len(spec.get(field) or ()) == 2:
            why = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {called} are specified"
            yield invalid_value("spec.ipFamilyPolicy", _SINGLE, why)


def _infer(spec: Object, configured: tuple[str, ...]) -> Iterator[FieldError]:
    """ipFamilies from clusterIPs."""
    families = list(spec.get("ipFamilies") or ())
    for index, ip in enumerate(spec.get("clusterIPs") or ()):
        if ip == HEADLESS:
            break
        family = family_of(ip)
        if index >= len(families):
            if family not in configured:
                why = f"{family} is not configured on this cluster"
                yield invalid_value(f"spec.clusterIPs[{index}]", spec["clusterIPs"], why)
            else:
                families.append(family)
    if families:
        spec["ipFamilies"] = families


def _cluster_ips(asked: _Asked) -> Iterator[FieldError]:
    spec, before = asked.spec, asked.before
    if not has_address(spec) or is_headless(spec) or _stays_as_preferred(spec, before):
        return
    held: list[str] = []
    if before is not None and has_address(before):
        if is_headless(before):
            return
        held = list(before.get("clusterIPs") or ())
    wanted = list(spec.get("clusterIPs") or ())
    for ip in wanted[len(held) :] if wanted[: len(held)] == held else wanted:
        if ip in held:
            continue
        if not asked.addresses.contains(ip):
            yield _no_address(spec, ip, "the provided network does not match the current range")
            return
        if not asked.given(ip, "spec.clusterIPs"):
            yield _no_address(spec, ip, _TAKEN_IP)
            return
    for family in spec["ipFamilies"][len(wanted) :]:
        wanted.append(asked.address(family))
    spec["clusterIPs"], spec["clusterIP"] = wanted, wanted[0]


def _no_address(spec: Mapping[str, Any], ip: str, why: str) -> FieldError:
    return invalid_value("spec.clusterIPs", spec.get("clusterIPs") or [], f"failed to allocate IP {ip}: {why}")


def _node_ports(asked: _Asked) -> Iterator[FieldError]:
    spec, before = asked.spec, asked.before
    if spec["type"] in WITH_NODE_PORTS:
        held = _held_ports(before)
        yield from _given_ports(asked, held)
        if spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False:
            for port in spec.get("ports") or ():
                if not port.get("nodePort"):
                    port["nodePort"] = (_shared(port, spec) if before is None else None) or asked.port()
    if checks_health(spec) and (before is None or not checks_health(before)):
        number = spec.get("healthCheckNodePort")
        if not number:
            spec["healthCheckNodePort"] = asked.port()
        elif fault := _port_fault(asked, number, "spec.healthCheckNodePort"):
            yield fault


def _held_ports(before: Mapping[str, Any] | None) -> set[int]:
    return {port["nodePort"] for port in (before or {}).get("ports") or () if port.get("nodePort")}


def _given_ports(asked: _Asked, held: set[int]) -> Iterator[FieldError]:
    """A new Service may use a node port twice for one port's protocols only, one that is changed for any two ports."""
    own: set[tuple[int, int]] = set()
    for index, port in enumerate(asked.spec.get("ports") or ()):
        number = port.get("nodePort")
        key = (number, port.get("port") or 0 if asked.before is None else 0)
        if not number or number in held or key in own:
            continue
        if fault := _port_fault(asked, number, f"spec.ports[{index}].nodePort"):
            yield fault
        own.add(key)


def _port_fault(asked: _Asked, number: int, field: str) -> FieldError | None:
    ports = asked.addresses.node_ports
    why = _TAKEN_PORT
    if number not in ports:
        why = "provided port is not in the valid range. "
        why += f"The range of valid ports is {ports.start}-{ports.stop - 1}"
    elif asked.given(number, field):
        return None
    return invalid_value(field, number, why)


def _shared(port: Mapping[str, Any], spec: Mapping[str, Any]) -> int | None:
    """The node port of the same port in another protocol (DNS on TCP and UDP)."""
    for other in spec["ports"]:
        if other.get("port") == port.get("port") and other.get("nodePort"):
            return int(other["nodePort"])
    return None
