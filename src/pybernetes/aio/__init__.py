"""Asyncio building blocks that know nothing of Kubernetes. A module belongs here if another project could use it as it is."""
