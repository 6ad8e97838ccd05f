"""metrics.k8s.io: what nodes and Pods use now, as metrics-server tells it. scraper.py asks kubelets, served.py answers."""
