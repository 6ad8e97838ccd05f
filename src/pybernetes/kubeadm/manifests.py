"""Static Pods of the control plane and of kube-proxy, with upstream's flags. The kubelet's static Pod folder gets them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from msgspec import Struct

from pybernetes.api.objects import Object
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm.config import ExternalEtcd, HostPathMount, InitConfig, Networking, Paths
from pybernetes.wire.http import join_host_port
from pybernetes.wire.pki.files import write_private

IMAGES = "registry.k8s.io"
API_SERVER, CONTROLLER_MANAGER, SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"


class Component(Struct, frozen=True, kw_only=True):
    """What differs between the static Pods."""

    name: str
    version: str
    flags: Mapping[str, str]
    extra: Sequence[tuple[str, str]] = ()
    volumes: Sequence[HostPathMount] = ()
    mounts: Sequence[str]
    cpu: str = ""
    probe: "Probe | None" = None
    annotations: Mapping[str, str] = {}


class Probe(Struct, frozen=True):
    """Where a component says how it is."""

    host: str
    port: int
    scheme: str = "HTTPS"
    live: str = "/livez"
    ready: str = ""


def image(name: str, version: str) -> str:
    """The image of a component."""
    return f"{IMAGES}/{name}:{version}"


def control_plane(config: InitConfig) -> dict[str, Object]:
    """The control plane's Pods by name."""
    return {
        API_SERVER: _api_server(config),
        CONTROLLER_MANAGER: _controller_manager(config),
        SCHEDULER: _scheduler(config),
    }


def write(paths: Paths, pod: Object) -> str:
    """Writes a manifest into the static Pod folder; its path. Raises OSError."""
    path = f"{c.MANIFESTS}/{pod['metadata']['name']}.yaml"
    paths.at(c.MANIFESTS).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(paths.at(path), yaml.safe_dump(pod, sort_keys=True).encode())
    return path


def _api_server(config: InitConfig) -> Object:
    pki = c.PKI
    flags = {
        "advertise-address": config.node.address,
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "client-ca-file": f"{pki}/ca.crt",
        "enable-admission-plugins": "NodeRestriction",
        "enable-bootstrap-token-auth": "true",
        "kubelet-certificate-authority": f"{pki}/ca.crt",
        "kubelet-client-certificate": f"{pki}/apiserver-kubelet-client.crt",
        "kubelet-client-key": f"{pki}/apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP,ExternalIP,Hostname",
        "proxy-client-cert-file": f"{pki}/front-proxy-client.crt",
        "proxy-client-key-file": f"{pki}/front-proxy-client.key",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-client-ca-file": f"{pki}/front-proxy-ca.crt",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "secure-port": str(config.bind_port),
        "service-account-issuer": f"https://kubernetes.default.svc.{config.networking.dns_domain}",
        "service-account-key-file": f"{pki}/sa.pub",
        "service-account-signing-key-file": f"{pki}/sa.key",
        "service-cluster-ip-range": config.networking.service_cidr,
        **_store(config.etcd),
        "tls-cert-file": f"{pki}/apiserver.crt",
        "tls-private-key-file": f"{pki}/apiserver.key",
    }
    endpoint = {
        "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": join_host_port(
            config.node.address, config.bind_port
        )
    }
    return _pod(
        Component(
            name=API_SERVER,
            version=config.version,
            flags=flags,
            extra=config.extra_args.get(API_SERVER, ()),
            volumes=config.extra_volumes.get(API_SERVER, ()),
            cpu="250m",
            mounts=(pki, *_store_folders(config.etcd)),
            probe=Probe(config.node.address, config.bind_port, ready="/readyz"),
            annotations=endpoint,
        )
    )


def _store(etcd: ExternalEtcd | None) -> dict[str, str]:
    """Flags."""
    if etcd is None:
        return {"storage-backend": "sqlite", "storage-path": c.STORE_PATH}
    files = {"etcd-cafile": etcd.ca_file, "etcd-certfile": etcd.cert_file, "etcd-keyfile": etcd.key_file}
    given = {name: path for name, path in files.items() if path}
    return {"storage-backend": "etcd3", "etcd-servers": ",".join(etcd.endpoints), **given}


def _store_folders(etcd: ExternalEtcd | None) -> list[str]:
    """What the API server needs of the machine for its store; the folder of the PKI it has anyway."""
    if etcd is None:
        return [c.STORE_DIR]
    folders = {os.path.dirname(path) for path in (etcd.ca_file, etcd.cert_file, etcd.key_file) if path}
    return sorted(folder for folder in folders if not f"{folder}/".startswith(f"{c.PKI}/"))


def _controller_manager(config: InitConfig) -> Object:
    pki, conf = c.PKI, c.CONTROLLER_MANAGER_CONF
    flags = {
        "authentication-kubeconfig": conf,
        "authorization-kubeconfig": conf,
        "bind-address": "127.0.0.1",
        "client-ca-file": f"{pki}/ca.crt",
        "cluster-name": "kubernetes",
        "cluster-signing-cert-file": f"{pki}/ca.crt",
        "cluster-signing-key-file": f"{pki}/ca.key",
        "controllers": "*,bootstrapsigner,tokencleaner",
        "kubeconfig": conf,
        "leader-elect": "true",
        "requestheader-client-ca-file": f"{pki}/front-proxy-ca.crt",
        "root-ca-file": f"{pki}/ca.crt",
        "service-account-private-key-file": f"{pki}/sa.key",
        "use-service-account-credentials": "true",
    }
    if config.networking.pod_cidr:
        flags["allocate-node-cidrs"] = "true"
        flags["cluster-cidr"] = config.networking.pod_cidr
        flags["service-cluster-ip-range"] = config.networking.service_cidr
    return _pod(
        Component(
            name=CONTROLLER_MANAGER,
            version=config.version,
            flags=flags,
            extra=config.extra_args.get(CONTROLLER_MANAGER, ()),
            volumes=config.extra_volumes.get(CONTROLLER_MANAGER, ()),
            cpu="200m",
            mounts=(pki, conf),
            probe=Probe("127.0.0.1", 10257, live="/healthz"),
        )
    )


def _scheduler(config: InitConfig) -> Object:
    conf = c.SCHEDULER_CONF
    flags = {
        "authentication-kubeconfig": conf,
        "authorization-kubeconfig": conf,
        "bind-address": "127.0.0.1",
        "kubeconfig": conf,
        "leader-elect": "true",
    }
    return _pod(
        Component(
            name=SCHEDULER,
            version=config.version,
            flags=flags,
            extra=config.extra_args.get(SCHEDULER, ()),
            volumes=config.extra_volumes.get(SCHEDULER, ()),
            cpu="100m",
            mounts=(conf,),
            probe=Probe("127.0.0.1", 10259, ready="/readyz"),
        )
    )


def kube_proxy(node: str, networking: Networking, version: str) -> Object:
    """kube-proxy as a static Pod with the node's own identity, until DaemonSets carry it."""
    flags = {"hostname-override": node, "kubeconfig": c.KUBELET_CONF, "proxy-mode": "nftables"}
    flags["service-cluster-ip-range"] = networking.service_cidr
    if networking.pod_cidr:
        flags["cluster-cidr"] = networking.pod_cidr
    pod = _pod(
        Component(
            name="kube-proxy",
            version=version,
            flags=flags,
            mounts=(c.KUBELET_CONF, f"{c.KUBELET_DIR}/pki"),
        )
    )
    pod["metadata"]["labels"] = {"k8s-app": "kube-proxy"}
    pod["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return pod


def _pod(component: Component) -> Object:
    name, mounts, probe = component.name, component.mounts, component.probe
    container: dict[str, Any] = {
        "name": name,
        "image": image(name, component.version),
        "imagePullPolicy": "IfNotPresent",
        "command": [name, *_flags(component)],
        "resources": {"requests": {"cpu": component.cpu}} if component.cpu else {},
        "volumeMounts": [
            *(
                {"name": _volume(path), "mountPath": path, **({} if path == c.STORE_DIR else {"readOnly": True})}
                for path in mounts
            ),
            *(
                {"name": v.name, "mountPath": v.mount_path, **({"readOnly": True} if v.read_only else {})}
                for v in component.volumes
            ),
        ],
    }
    proxies = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy") and value}
    if proxies:
        container["env"] = [{"name": key, "value": value} for key, value in sorted(proxies.items())]
    if probe is not None:
        container["livenessProbe"] = _http_probe(probe, probe.live, 10, 8)
        container["startupProbe"] = _http_probe(probe, probe.live, 10, 24)
        if probe.ready:
            container["readinessProbe"] = _http_probe(probe, probe.ready, 1, 3)
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "kube-system",
        "labels": {"component": name, "tier": "control-plane"},
    }
    if component.annotations:
        metadata["annotations"] = dict(component.annotations)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "hostNetwork": True,
            "priority": 2000001000,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [
                *({"name": _volume(p), "hostPath": {"path": p, "type": _host_path_type(p)}} for p in mounts),
                *({"name": v.name, "hostPath": {"path": v.host_path, "type": v.path_type}} for v in component.volumes),
            ],
        },
    }


def _flags(component: Component) -> list[str]:
    """The user's stand in the place of kubeadm's own of the same name."""
    named = {name for name, _ in component.extra}
    given = [*((name, value) for name, value in component.flags.items() if name not in named), *component.extra]
    return [f"--{name}={value}" for name, value in sorted(given, key=lambda flag: flag[0])]


def _http_probe(probe: Probe, path: str, period: int, failures: int) -> Object:
    target = {"host": probe.host, "path": path, "port": probe.port, "scheme": probe.scheme}
    return {"httpGet": target, "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 15}


def _host_path_type(path: str) -> str:
    return "FileOrCreate" if path.endswith(".conf") else "DirectoryOrCreate"


def _volume(path: str) -> str:
    return path.strip("/").replace("/", "-").replace(".", "-").replace("_", "-")
