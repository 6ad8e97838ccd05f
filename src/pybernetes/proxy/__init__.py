"""kube-proxy: Services to the node's dataplane."""
