"""The closing words of init and join, and the join command. Upstream's, word for word: people and scripts look for them."""

from pathlib import Path

from pybernetes.client import kubeconfig
from pybernetes.kubeadm.config import InitConfig
from pybernetes.kubeadm.discovery import DiscoveryFailedError, cluster_of
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.wire.pki import certificates

JOINED = """
This node has joined the cluster:
* Certificate signing request was sent to apiserver and a response was received.
* The Kubelet was informed of the new secure connection details.

Run 'kubectl get nodes' on the control-plane to see this node join the cluster.
"""

JOINED_CONTROL_PLANE = """
This node has joined the cluster and a new control plane instance was created:

* Certificate signing request was sent to apiserver and approval was received.
* The Kubelet was informed of the new secure connection details.
* Control plane label and taint were applied to the new node.
* The Kubernetes control plane instances scaled up.


To start administering your cluster from this node, you need to run the following as a regular user:

	mkdir -p $HOME/.kube
	sudo cp -i /etc/kubernetes/admin.conf $HOME/.kube/config
	sudo chown $(id -u):$(id -g) $HOME/.kube/config

Run 'kubectl get nodes' to see this node join the cluster.
"""

_INITIALIZED = """
Your Kubernetes control-plane has initialized successfully!

To start using your cluster, you need to run the following as a regular user:

  mkdir -p $HOME/.kube
  sudo cp -i /etc/kubernetes/admin.conf $HOME/.kube/config
  sudo chown $(id -u):$(id -g) $HOME/.kube/config

Alternatively, if you are the root user, you can run:

  export KUBECONFIG=/etc/kubernetes/admin.conf

You should now deploy a pod network to the cluster.
Run "kubectl apply -f [podnetwork].yaml" with one of the options listed at:
  https://kubernetes.io/docs/concepts/cluster-administration/addons/

{others}Then you can join any number of worker nodes by running the following on each as root:

{command}
"""

_UPLOADED = """\
You can now join any number of control-plane nodes running the following command on each as root:

  {command}

Please note that the certificate-key gives access to cluster sensitive data, keep it secret!
As a safeguard, uploaded-certs will be deleted in two hours; If necessary, you can use
"kubeadm init phase upload-certs --upload-certs" to reload certs afterward.

"""

_COPIED = """\
You can now join any number of control-plane nodes by copying certificate authorities
and service account keys on each node and then running the following as root:

  {command}

"""
_WITHHELD = "<value withheld>"


def initialized(config: InitConfig, ca: bytes, certificate_key: str) -> str:
    """The end of `kubeadm init`. `certificate_key` is empty where nothing was uploaded."""
    token = _WITHHELD if config.skip_token_print else str(config.token)
    command, others = join_command(config.endpoint, token, ca), ""
    if config.control_plane_endpoint and config.etcd is not None:
        key = _WITHHELD if certificate_key and config.skip_certificate_key_print else certificate_key
        text = _UPLOADED if certificate_key else _COPIED
        others = text.format(command=f"{command} \\\n\t{control_plane_flags(key)}")
    return _INITIALIZED.format(command=command, others=others)


def control_plane_flags(certificate_key: str) -> str:
    """What is added to a join command for a control plane."""
    return f"--control-plane --certificate-key {certificate_key}" if certificate_key else "--control-plane"


def join_command(endpoint: str, token: str, ca: bytes) -> str:
    """What to run on a machine that shall join; two lines."""
    pin = certificates.public_key_hash(certificates.parse_certificate(ca))
    return f"kubeadm join {endpoint} --token {token} \\\n\t--discovery-token-ca-cert-hash {pin}"


def join_command_of(admin_conf: Path, token: str, certificate_key: str = "") -> str:
    """The same in one line, from an administrator's kubeconfig; with a key that of a control plane. Raises KubeadmError."""
    try:
        found = cluster_of(admin_conf.read_text())
    except OSError as error:
        raise KubeadmError(f"failed to get join command: {error.filename}: {error.strerror}") from error
    except (DiscoveryFailedError, kubeconfig.ConfigError) as error:
        raise KubeadmError(f"failed to get join command: {error}") from error
    endpoint = found.server.removeprefix("https://")
    command = join_command(endpoint, token, found.ca).replace("\\\n\t", "")
    return f"{command} {control_plane_flags(certificate_key)}" if certificate_key else command
