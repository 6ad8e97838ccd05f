"""The phases of `kubeadm init`, in the order that their `after` gives."""
