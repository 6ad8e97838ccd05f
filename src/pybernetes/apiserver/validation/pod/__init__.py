"""The Pod spec of Pods and of every template: defaults.py sets, spec.py and its neighbours refuse, update.py holds fast."""
