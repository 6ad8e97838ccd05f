"""kubeadm: a cluster of real machines. config.py is what flags say, workflow.py runs the phases, phases/ does the work."""
