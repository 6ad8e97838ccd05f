"""kube-controller-manager: the composition root: flags -> Config -> ControllerManager, while this process leads."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from pybernetes.aio.clock import Clock
from pybernetes.api.objects import Key
from pybernetes.client.accounts import AccountTransport
from pybernetes.client.rest import Client
from pybernetes.cmd import _leading
from pybernetes.cmd._controller_flags import ACCEPTED, add_flags, config_of, controllers_of, paced
from pybernetes.cmd._daemon import StartError, transport_of
from pybernetes.cmd._serving import Serving
from pybernetes.controllers.runtime import ControllerManager
from pybernetes.wire.http import Transport

COMPONENT = _leading.Component(
    name="kube-controller-manager",
    help="Drives the world towards what the objects say.",
    port=10257,
    accepted=ACCEPTED,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    parser = _leading.parser(COMPONENT)
    add_flags(parser)
    options = parser.parse_args(arguments)
    try:
        config, controllers = config_of(options), controllers_of(options)
    except StartError as error:
        print(f"{COMPONENT.name}: {error}", file=sys.stderr)
        sys.exit(1)

    async def work(client: Client, clock: Clock, serving: Serving) -> None:
        async with AsyncExitStack() as stack:
            as_account = None
            if options.use_service_account_credentials:
                bare = transport_of(options.kubeconfig, bare=True)
                stack.push_async_callback(bare.aclose)
                counted = serving.asked.around(bare, bare.host, clock)
                as_account = partial(_as_account, client, lambda: paced(options, counted, clock))
            own = Client(paced(options, client.transport, clock), clock=clock, user_agent=client.user_agent)
            manager = ControllerManager(own, config, controllers, as_account=as_account)
            serving.checks |= manager.checks()
            serving.texts.append(manager.metrics)
            await manager.run()

    sys.exit(_leading.command(COMPONENT, options, work))


def _as_account(client: Client, bare: Callable[[], Transport], account: str) -> Client:
    transport = AccountTransport(client, bare(), Key("kube-system", account))
    return Client(transport, clock=client.clock, user_agent=client.user_agent)


if __name__ == "__main__":
    main()
