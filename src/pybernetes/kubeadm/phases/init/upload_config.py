"""What joining machines need to know goes into ConfigMaps: kubeadm-config and kubelet-config. Next: upload-certs."""

import yaml

from pybernetes.api.objects import Object
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm import manifests, nodefiles
from pybernetes.kubeadm.config import ExternalEtcd, HostPathMount, InitConfig
from pybernetes.kubeadm.objects import config_map, readers
from pybernetes.kubeadm.tokens import GROUP
from pybernetes.kubeadm.workflow import Context, Phase

NAMESPACE = "kube-system"
_COMPONENTS = {
    "apiServer": manifests.API_SERVER,
    "controllerManager": manifests.CONTROLLER_MANAGER,
    "scheduler": manifests.SCHEDULER,
}


async def _run(context: Context[InitConfig]) -> None:
    config, api = context.config, context.api()
    context.say(
        '[upload-config] Storing the configuration used in ConfigMap "kubeadm-config" in the "kube-system" Namespace'
    )
    groups = ("system:nodes", GROUP)
    await api.put(
        config_map(NAMESPACE, "kubeadm-config", {"ClusterConfiguration": yaml.safe_dump(cluster_configuration(config))})
    )
    for obj in readers(NAMESPACE, "kubeadm:nodes-kubeadm-config", "kubeadm-config", groups=groups):
        await api.put(obj)
    context.say(
        '[kubelet] Creating a ConfigMap "kubelet-config" in namespace kube-system with the configuration for the '
        "kubelets in the cluster"
    )
    kubelet = nodefiles.kubelet_configuration(config.networking, "", config.kubelet)
    del kubelet["containerRuntimeEndpoint"]
    await api.put(config_map(NAMESPACE, "kubelet-config", {"kubelet": yaml.safe_dump(kubelet)}))
    for obj in readers(NAMESPACE, "kubeadm:kubelet-config", "kubelet-config", groups=groups):
        await api.put(obj)


def cluster_configuration(config: InitConfig) -> Object:
    """What is kept of it in the cluster."""
    cluster: Object = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "certificatesDir": c.PKI,
        "clusterName": "kubernetes",
        "controlPlaneEndpoint": config.control_plane_endpoint,
        "imageRepository": "registry.k8s.io",
        "kubernetesVersion": config.version,
        "networking": {
            "dnsDomain": config.networking.dns_domain,
            "podSubnet": config.networking.pod_cidr,
            "serviceSubnet": config.networking.service_cidr,
        },
    }
    for field, name in _COMPONENTS.items():
        arguments = [{"name": flag, "value": value} for flag, value in config.extra_args.get(name, ())]
        volumes = [_volume(volume) for volume in config.extra_volumes.get(name, ())]
        own = {key: value for key, value in (("extraArgs", arguments), ("extraVolumes", volumes)) if value}
        if own:
            cluster[field] = own
    if config.cert_extra_sans:
        cluster.setdefault("apiServer", {})["certSANs"] = list(config.cert_extra_sans)
    if config.etcd is not None:
        cluster["etcd"] = {"external": _etcd(config.etcd)}
    return cluster


def _etcd(etcd: ExternalEtcd) -> Object:
    return {
        "endpoints": list(etcd.endpoints),
        "caFile": etcd.ca_file,
        "certFile": etcd.cert_file,
        "keyFile": etcd.key_file,
    }


def _volume(volume: HostPathMount) -> Object:
    shown = {"name": volume.name, "hostPath": volume.host_path, "mountPath": volume.mount_path}
    more = {"readOnly": volume.read_only, "pathType": volume.path_type}
    return {**shown, **{key: value for key, value in more.items() if value}}


PHASE = Phase(
    name="upload-config",
    help="Upload the kubeadm and kubelet configuration to a ConfigMap",
    run=_run,
    after=("wait-control-plane",),
)
