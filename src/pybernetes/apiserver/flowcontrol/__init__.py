"""API priority and fairness (KEP-1040): which requests are served now, which wait, which are refused. filter.py is the door."""
