"""What kubeadm leaves for a node's kubelet: its configuration, its flags and the unit that keeps it running."""

import shlex
from collections.abc import Mapping
from typing import Any

import orjson
import yaml

from pybernetes.api.objects import Object, overlaid
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm.config import Networking, Node, Paths
from pybernetes.wire.pki.files import write_public

COMMAND = (
    "kubelet",
    f"--bootstrap-kubeconfig={c.BOOTSTRAP_CONF}",
    f"--kubeconfig={c.KUBELET_CONF}",
    f"--config={c.KUBELET_CONFIG}",
)


def kubelet_configuration(networking: Networking, cri_socket: str, own: Mapping[str, Any] | None = None) -> Object:
    """KubeletConfiguration (kubelet.config.k8s.io/v1beta1) with kubeadm's defaults, `own` fields of the user over them.

    What is left out is the kubelet's.
    """
    defaults = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{c.PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [networking.dns_address],
        "clusterDomain": networking.dns_domain,
        "containerRuntimeEndpoint": cri_socket,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "rotateCertificates": True,
        "serverTLSBootstrap": True,
        "staticPodPath": c.MANIFESTS,
    }
    return overlaid(defaults, own or {})


def write_kubelet_files(paths: Paths, node: Node, configuration: Object) -> None:
    """Flags and configuration; the configuration last, since a supervisor waits for it. Raises OSError."""
    flags = [f"--hostname-override={node.name}"]
    if node.address:
        flags.append(f"--node-ip={node.address}")
    named = {name for name, _ in node.extra_args}
    flags = [flag for flag in flags if flag[2:].partition("=")[0] not in named]
    flags += [f"--{name}={value}" for name, value in node.extra_args]
    arguments = " ".join(shlex.quote(flag) for flag in flags)
    write_public(paths.at(c.KUBELET_FLAGS), f'KUBELET_KUBEADM_ARGS="{arguments}"\n'.encode())
    text = yaml.safe_dump({**configuration, "containerRuntimeEndpoint": node.cri_socket}, sort_keys=True)
    write_public(paths.at(c.KUBELET_CONFIG), text.encode())


def supervised(paths: Paths) -> bool:
    """Something on this machine keeps the units of SERVICES running."""
    return paths.at(c.SERVICES).is_dir()


def start_kubelet(paths: Paths) -> bool:
    """Hands the kubelet to the machine's supervisor; False where there is none. Raises OSError."""
    if not supervised(paths):
        return False
    unit: dict[str, Any] = {
        "command": COMMAND,
        "env": {},
        "condition_path": c.KUBELET_CONFIG,
        "flags_file": c.KUBELET_FLAGS,
    }
    write_public(paths.at(f"{c.SERVICES}/kubelet.json"), orjson.dumps(unit, option=orjson.OPT_INDENT_2) + b"\n")
    return True


def how_to_start() -> str:
    """What the user of a machine without supervisor does."""
    return (
        "No supervisor was found on this machine. Start the kubelet yourself, and keep it running:\n"
        f"\t. {c.KUBELET_FLAGS} && exec {' '.join(COMMAND)} $KUBELET_KUBEADM_ARGS"
    )
