"""A Pod's spec in the runtime's words, one module a noun: pure translation. executor.py sends what sandbox.py and
container.py make."""
