"""The scheduler gives each Pod a Node: queue.py (which Pod next), framework.py (which Node), loop.py (the world).

snapshot.py has the Nodes as columns; plugins/ has one file a rule.
"""
