"""What the node tells the API: pod_status.py computes of Pods, reporter.py sends; node.py and lease.py of the node."""
