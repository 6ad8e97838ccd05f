"""Which labels a kubelet may put on its Node."""

import pytest

from pybernetes.apiserver.admission.noderestriction import _reserved


@pytest.mark.parametrize(
    ("key", "reserved"),
    [
        ("kubernetes.io/hostname", False),
        ("topology.kubernetes.io/zone", False),
        ("node.kubernetes.io/anything", False),
        ("x.kubelet.kubernetes.io/anything", False),
        ("example.com/anything", False),
        ("plain", False),
        ("node-role.kubernetes.io/control-plane", True),
        ("node-restriction.kubernetes.io/x", True),
        ("a.node-restriction.kubernetes.io/x", True),
        ("kubernetes.io/other", True),
        ("k8s.io/other", True),
        ("foo.k8s.io/other", True),
    ],
)
def test_labels_of_kubernetes_are_reserved_but_for_a_kubelets_own(key, reserved):
    assert _reserved(key) is reserved
