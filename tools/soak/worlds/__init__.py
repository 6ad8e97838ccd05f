"""Perturbed worlds: a cluster on virtual time in which everything goes wrong that can, and rules that hold at every write.

world.py has the parts of a world, wire.py what befalls requests and watches, ledger.py what the store has seen, and who wrote
it; rules_*.py what must hold at every write, actions.py and casts.py what users do, judge.py what must be in the end.
`python -m tools.soak.controllers` runs them.
"""
