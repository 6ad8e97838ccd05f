"""Composition roots only: flags to config to run()."""
