"""What a node has, and what Pods may use of it. See "Reserve Compute Resources for System Daemons".

allocatable = capacity - systemReserved - kubeReserved - hard eviction thresholds, never below nothing.
"""

from collections.abc import Mapping

from pybernetes.api.quantity import BINARY, Quantity, of_int, parse
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.configuration_rules import cpu_set
from pybernetes.kubelet.status.machine import Machine
from pybernetes.kubelet.thresholds import hard

CPU, MEMORY, DISK, PODS = "cpu", "memory", "ephemeral-storage", "pods"
HUGE = "hugepages-"
_EVICTED = {MEMORY: "memory.available", DISK: "nodefs.available"}


def capacity(machine: Machine, config: Configuration) -> dict[str, str]:
    """What the machine has."""
    pods = min(config.max_pods, config.pods_per_core * machine.cpus) if config.pods_per_core else config.max_pods
    found = {
        CPU: str(of_int(machine.cpus)),
        MEMORY: str(of_int(machine.memory // 1024 * 1024, BINARY)),
        PODS: str(pods),
        **{name: str(of_int(size, BINARY)) for name, size in machine.huge_pages.items()},
    }
    if config.local_storage_capacity_isolation:
        found[DISK] = str(of_int(machine.disk // 1024 * 1024, BINARY))
    return found


def allocatable(whole: Mapping[str, str], config: Configuration) -> dict[str, str]:
    """What of a capacity Pods may use; pages that are set aside as huge ones are no ordinary memory."""
    have = {name: parse(text) for name, text in whole.items()}
    reserved = reservations(config)
    for name, signal in _EVICTED.items():
        amount = hard(config).get(signal)
        if amount is not None and name in have:
            kept = of_int(amount.of(have[name].value()), BINARY)
            reserved[name] = reserved.get(name, of_int(0, BINARY)) + kept
    if MEMORY in have:
        for name, size in have.items():
            if name.startswith(HUGE):
                reserved[MEMORY] = reserved.get(MEMORY, of_int(0, BINARY)) + size
    found = dict(whole)
    for name, kept in reserved.items():
        if name in have:
            left = have[name] - kept
            found[name] = str(left if left.nanos > 0 else Quantity())
    return found


def reservations(config: Configuration) -> dict[str, Quantity]:
    """systemReserved and kubeReserved together; reservedSystemCPUs outranks both for CPUs."""
    found: dict[str, Quantity] = {}
    for said in (config.system_reserved, config.kube_reserved):
        for name, text in said.items():
            found[name] = found.get(name, Quantity()) + parse(text)
    if config.reserved_system_cpus:
        found[CPU] = of_int(len(cpu_set(config.reserved_system_cpus)))
    return found
