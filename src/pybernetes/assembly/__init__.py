"""Puts the parts together into a running whole; the only place that knows all of them."""
