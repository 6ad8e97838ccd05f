"""kube-scheduler: the composition root: flags -> SchedulerConfig -> Scheduler, while this process leads."""

import sys
from collections.abc import Sequence

from pybernetes.aio.clock import Clock
from pybernetes.client.rest import Client
from pybernetes.cmd import _leading
from pybernetes.cmd._serving import Serving
from pybernetes.scheduler.loop import Scheduler, SchedulerConfig

COMPONENT = _leading.Component(
    name="kube-scheduler",
    help="Gives each Pod a Node.",
    port=10259,
    source="default-scheduler",
    accepted=(
        "authentication-kubeconfig",
        "authorization-kubeconfig",
        "feature-gates",
        "kube-api-qps",
        "kube-api-burst",
        "leader-elect-resource-lock",
        "profiling",
        "requestheader-client-ca-file",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    parser = _leading.parser(COMPONENT)
    parser.add_argument("--scheduler-name", default="default-scheduler", help="Pods that name another are not ours")
    parser.add_argument("--disable-plugins", default="", help="names of plugins to leave out, with commas")
    options = parser.parse_args(arguments)
    disabled = tuple(name for name in options.disable_plugins.split(",") if name)
    config = SchedulerConfig(scheduler_name=options.scheduler_name, disabled=disabled)

    async def work(client: Client, clock: Clock, serving: Serving) -> None:
        await Scheduler(client, clock, config).run()

    sys.exit(_leading.command(COMPONENT, options, work))


if __name__ == "__main__":
    main()
