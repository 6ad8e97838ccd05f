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

Then you can join any number of worker nodes by running the following on each as root:

{command}
"""


def initialized(config: InitConfig, ca: bytes) -> str:
    """The end of `kubeadm init`."""
    token = "<value withheld>" if config.skip_token_print else str(config.token)
    return _INITIALIZED.format(command=join_command(config.endpoint, token, ca))


def join_command(endpoint: str, token: str, ca: bytes) -> str:
    """What to run on a machine that shall join; two lines."""
    pin = certificates.public_key_hash(certificates.parse_certificate(ca))
    return f"kubeadm join {endpoint} --token {token} \\\n\t--discovery-token-ca-cert-hash {pin}"


def join_command_of(admin_conf: Path, token: str) -> str:
    """The same in one line, from an administrator's kubeconfig. Raises KubeadmError."""
    try:
        found = cluster_of(admin_conf.read_text())
    except OSError as error:
        raise KubeadmError(f"failed to get join command: {error.filename}: {error.strerror}") from error
    except (DiscoveryFailedError, kubeconfig.ConfigError) as error:
        raise KubeadmError(f"failed to get join command: {error}") from error
    endpoint = found.server.removeprefix("https://")
    return join_command(endpoint, token, found.ca).replace("\\\n\t", "")
