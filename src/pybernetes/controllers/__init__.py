"""Controllers, one module each, found by discover(); the constant is CONTROLLER. runtime.py is the only loop."""
