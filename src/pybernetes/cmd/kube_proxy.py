"""kube-proxy: flags with upstream's names -> Proxy -> run(). The composition root."""

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from pybernetes import __version__
from pybernetes.aio.clock import SystemClock
from pybernetes.aio.discover import discover
from pybernetes.client.rest import Client
from pybernetes.cmd._daemon import StartError, run, transport_of
from pybernetes.cmd._version import add_version
from pybernetes.kernel.nft import Nft, NftError
from pybernetes.proxy.backend import SERVICE_CIDR, Backend, ProxyConfig
from pybernetes.proxy.proxy import Proxy


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    options = parser().parse_args(arguments)
    sys.exit(run("kube-proxy", options.v, lambda: _serve(options)))


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser(prog="kube-proxy", description="Sends Service connections of this node to Pods.")
    add_version(made)
    add = made.add_argument
    add("--kubeconfig", default="", help="path to the kubeconfig with authorization information")
    add("--hostname-override", default="", help="the name of this Node, where it is not the host's name")
    add("--proxy-mode", default="nftables", help="how connections are sent on (default nftables)")
    add("--cluster-cidr", default="", help="the range of Pod addresses (accepted; every Pod's address is kept)")
    add("--service-cluster-ip-range", default=SERVICE_CIDR, help="range in which connections without a Service fail")
    add("-v", "--v", type=int, default=0, help="4 and more: debug messages")
    return made


async def _serve(options: argparse.Namespace) -> None:
    """Runs until cancelled. Raises StartError."""
    backends = discover("pybernetes.proxy.backends", "BACKEND", Backend, group="pybernetes.proxy_backends")
    if options.proxy_mode not in backends:
        raise StartError(f"--proxy-mode {options.proxy_mode!r} is unknown, there is: {', '.join(sorted(backends))}")
    if find_spec("pyroute2") is None:
        raise StartError("the module pyroute2 is missing: pip install 'pybernetes[node]'")
    if os.geteuid() != 0:
        raise StartError("needs root to program the node's network")
    try:
        Nft().close()
    except NftError as error:
        raise StartError(str(error)) from error
    transport = transport_of(options.kubeconfig)
    client = Client(transport, clock=SystemClock(), user_agent=f"kube-proxy/{__version__}")
    backend = backends[options.proxy_mode].make(ProxyConfig(service_cidr=options.service_cluster_ip_range))
    proxy = Proxy(client, (options.hostname_override or socket.gethostname()).lower(), backend)
    try:
        await proxy.run()
    finally:
        logging.getLogger(__name__).info("stopped; what is programmed stays")
        await transport.aclose()


if __name__ == "__main__":
    main()
