"""The kubelet's own API on port 10250: app.py has the routes, access.py says who may, logs.py and streams.py serve."""
