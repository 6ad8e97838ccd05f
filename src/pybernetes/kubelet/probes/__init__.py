"""Probes of containers: prober.py has the thresholds and timers; hooks.py (beside this folder) the actions."""
