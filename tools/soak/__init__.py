"""Soaks: long runs by chance, repeatable by seed. `python -m tools.soak.<kind> --rounds N [--seed S]`; 1 at the first fault."""
