"""kubeadm: init, join and what they need."""
