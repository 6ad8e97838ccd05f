"""Backends of the pod network, found by discover(); the constant is BACKEND."""
