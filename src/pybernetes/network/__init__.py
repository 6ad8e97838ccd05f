"""The pod network: CNI, addresses, routes."""
