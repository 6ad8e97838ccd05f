"""The Container Runtime Interface: model.py is what the kubelet knows of it, runtime.py speaks it, events.py hears it."""
