"""Image pulls: puller.py has policy, sharing and reasons; credentials.py finds who may pull."""
