"""The agent of a node: a pure machine (pod_machine.py) and an executor over CRI."""
