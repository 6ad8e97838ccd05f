"""Phases of kubeadm, one file each, found by discover(); the constant is PHASE."""
