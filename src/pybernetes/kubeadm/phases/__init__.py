"""Phases of kubeadm, one file each under the command they belong to; workflow.py finds them by their PHASE."""
