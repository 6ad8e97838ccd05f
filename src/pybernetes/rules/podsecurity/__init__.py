"""Pod Security Standards: what Pods of a level may ask for. policy.py reads a namespace's labels, evaluate.py judges Pods.

Pure, on canonical dicts. The checks of the two levels are in baseline.py and restricted.py.
"""
