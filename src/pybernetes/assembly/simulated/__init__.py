"""Simulated nodes: kubelets that run Pods in memory. Start at nodes.py; the rules are the kubelet's own."""
