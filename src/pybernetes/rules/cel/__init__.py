"""The Common Expression Language, as far as it can be judged without running: syntax.py reads it, checker.py its types."""
