"""A candidate of a leader election, with the official client: says so when it leads. Arguments: namespace, name."""

import sys

from kubernetes import config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock


def main(namespace: str, name: str) -> None:
    """Stands for election until it is ended."""
    config.load_kube_config()
    settings = electionconfig.Config(
        LeaseLock("lock", namespace, name),
        lease_duration=3,
        renew_deadline=2,
        retry_period=1,
        onstarted_leading=lambda: print(f"{name} leads", flush=True),
        onstopped_leading=lambda: None,
    )
    leaderelection.LeaderElection(settings).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
