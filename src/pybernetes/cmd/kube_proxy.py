"""kube-proxy: flags with upstream's names -> Proxy -> run(). The composition root."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

import uvloop

from pybernetes import KUBERNETES_VERSION, __version__
from pybernetes.aio.clock import SystemClock
from pybernetes.aio.discover import discover
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.kernel.nft import Nft, NftError
from pybernetes.proxy.backend import SERVICE_CIDR, Backend, ProxyConfig
from pybernetes.proxy.proxy import Proxy


class StartError(RuntimeError):
    """kube-proxy cannot start; one line for the user."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    options = parser().parse_args(arguments)
    level = logging.DEBUG if options.v >= 4 else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname).1s %(name)s %(message)s")
    try:
        uvloop.run(_until_stopped(options))
    except StartError as error:
        sys.exit(f"kube-proxy: {error}")


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser(prog="kube-proxy", description="Sends Service connections of this node to Pods.")
    made.add_argument("--version", action="version", version=f"Kubernetes {KUBERNETES_VERSION}")
    add = made.add_argument
    add("--kubeconfig", default="", help="path to the kubeconfig with authorization information")
    add("--hostname-override", default="", help="the name of this Node, where it is not the host's name")
    add("--proxy-mode", default="nftables", help="how connections are sent on (default nftables)")
    add("--cluster-cidr", default="", help="the range of Pod addresses (accepted; every Pod's address is kept)")
    add("--service-cluster-ip-range", default=SERVICE_CIDR, help="range in which connections without a Service fail")
    add("-v", "--v", type=int, default=0, help="4 and more: debug messages")
    return made


async def _until_stopped(options: argparse.Namespace) -> None:
    """Runs until TERM or INT. Raises StartError."""
    backends = discover("pybernetes.proxy.backends", "BACKEND", Backend, group="pybernetes.proxy_backends")
    if options.proxy_mode not in backends:
        raise StartError(f"--proxy-mode {options.proxy_mode!r} is unknown, there is: {', '.join(sorted(backends))}")
    if os.geteuid() != 0:
        raise StartError("needs root to program the node's network")
    try:
        Nft().close()
        transport = kubeconfig.transport_of(kubeconfig.load(options.kubeconfig or None))
    except (NftError, kubeconfig.ConfigError) as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"cannot read {error.filename}: {error.strerror}") from error
    client = Client(transport, clock=SystemClock(), user_agent=f"kube-proxy/{__version__}")
    backend = backends[options.proxy_mode].make(ProxyConfig(service_cidr=options.service_cluster_ip_range))
    proxy = Proxy(client, (options.hostname_override or socket.gethostname()).lower(), backend)
    task = asyncio.create_task(proxy.run(), name="kube-proxy")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("stopped; what is programmed stays")
    finally:
        await transport.aclose()


if __name__ == "__main__":
    main()
