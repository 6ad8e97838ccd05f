"""The kubelet's own API on port 10250: logs, exec, metrics."""
