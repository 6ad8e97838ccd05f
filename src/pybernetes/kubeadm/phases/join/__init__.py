"""The phases of `kubeadm join`, in the order that their `after` gives."""
