"""Generates api/types, api/schema and api/facts: `python -m tools.gen` writes, `--check` only compares."""
