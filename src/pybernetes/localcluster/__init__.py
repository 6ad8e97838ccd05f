"""Nodes as namespaces on one machine, simulated nodes, images, the registry."""
