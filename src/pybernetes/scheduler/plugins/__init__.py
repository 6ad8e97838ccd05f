"""Scheduler plugins, one pure file each, found by discover(); the constant is PLUGIN."""
