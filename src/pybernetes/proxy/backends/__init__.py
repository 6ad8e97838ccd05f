"""Dataplane backends of kube-proxy, found by discover(); the constant is BACKEND."""
