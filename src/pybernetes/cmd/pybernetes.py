"""pybernetes: a whole cluster on this machine in one command. The composition root: flags to config to run()."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from pybernetes import KUBERNETES_VERSION, __version__
from pybernetes.aio.clock import SystemClock
from pybernetes.api.errors import ApiError
from pybernetes.assembly.progress import Progress
from pybernetes.cmd._store import add_store
from pybernetes.localcluster.errors import LocalClusterError

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def main() -> None:
    """Entry point of the console script."""
    options = _parser().parse_args()
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    try:
        code = _runner(options)(_interruptible(options.run(options)))
    except (LocalClusterError, ValueError, ApiError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _runner(options: argparse.Namespace) -> Callable[[Awaitable[int]], int]:
    """A cluster in this process is a server, and runs as the servers do; all else is too short for that to pay."""
    if options.run is not _serve:
        return asyncio.run  # type: ignore[return-value]
    import uvloop

    return uvloop.run  # type: ignore[return-value]


async def _interruptible(work: Awaitable[int]) -> int:
    """TERM and a closed terminal end the work as Ctrl-C does: with its clean-up."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pybernetes",
        description="A real Kubernetes on this machine: up, down, status, kubeconfig; images; its store; the demonstration.",
    )
    parser.add_argument(
        "--version", action="version", version=f"pybernetes {__version__} (Kubernetes {KUBERNETES_VERSION})"
    )
    parser.add_argument("--verbose", action="store_true", help="log what the parts do")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], Awaitable[int]], help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        return sub

    up = command("up", _up, "start a managed cluster; it stays until `pybernetes down`")
    up.add_argument("--nodes", type=int, default=3, help="machines, the master among them (default 3)")
    up.add_argument(
        "--simulated-nodes",
        type=int,
        default=0,
        metavar="N",
        help="no containers: N nodes that live in the API only; needs no root",
    )
    up.add_argument(
        "--api-port", type=int, default=0, help="port of the API server on 127.0.0.1 (default: 6443 where free)"
    )
    down = command("down", _down, "take the cluster away, with all that is in it")
    status = command("status", _status, "what runs")
    config = command("kubeconfig", _kubeconfig, "print the administrator's kubeconfig")
    for sub in (up, down, status, config):
        sub.add_argument("--name", default="local", help="name of the cluster (default local)")
        sub.add_argument("--state-dir", type=Path, default=None, help="folder of the clusters' disks")
    demo = command("demo", _demo, "from bare machines to an answering Pod, step by step")
    demo.add_argument("--examples", type=Path, default=EXAMPLES, help=argparse.SUPPRESS)
    _image_commands(command("image", _help, "build and push images"))
    _network_commands(command("network", _help, "the pod network of a node"))
    add_store(commands)
    command(
        "storage-class",
        _storage_class,
        "print the StorageClass local-path, which clusters of `up` have: for kubectl apply -f - on others",
    )
    serve = command("serve", _serve, "run a cluster of simulated nodes in this process until interrupted")
    serve.add_argument("--nodes", type=int, default=1, help="number of simulated nodes")
    serve.add_argument("--folder", type=Path, required=True, help="where its store, keys and kubeconfig lie")
    serve.add_argument(
        "--api-port", type=int, default=0, help="port of the API server on 127.0.0.1 (default: 6443 where free)"
    )
    return parser


def _image_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    build = commands.add_parser("build", help="build the image of a folder's Containerfile, or of the control plane")
    build.add_argument("folder", type=Path, nargs="?")
    build.add_argument("-t", "--tag", default="", help="the image's name, as gasbugs/http-go")
    build.add_argument(
        "--control-plane",
        action="store_true",
        help="instead of a folder's: the image of kube-apiserver, kube-scheduler, ..., out of this installation",
    )
    build.add_argument("-o", "--output", type=Path, default=None, help="the OCI archive to write (default NAME.tar)")
    build.add_argument("--push", action="store_true", help="push it to the cluster's registry as well")
    build.add_argument("--name", default="local", help="name of the cluster (default local)")
    build.add_argument("--state-dir", type=Path, default=None, help="folder of the clusters' disks")
    build.set_defaults(run=_image_build)


def _network_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    install = commands.add_parser("install", help="install the pod network on this node")
    install.set_defaults(run=_network_install)
    agent = commands.add_parser("agent", help="the agent of this node (started by its static Pod)")
    agent.add_argument("--kubeconfig", default="/etc/kubernetes/kubelet.conf")
    agent.add_argument("--node-name", default=socket.gethostname())
    agent.add_argument(
        "--backend", default="direct", help="how packets reach other nodes' Pods (default: direct routes)"
    )
    agent.set_defaults(run=_network_agent)


async def _help(options: argparse.Namespace) -> int:
    return 2


def _state_dir(options: argparse.Namespace) -> Path:
    from pybernetes.assembly.managed import default_state_dir

    return options.state_dir or default_state_dir()


async def _up(options: argparse.Namespace) -> int:
    from pybernetes.assembly import managed

    clock = SystemClock()
    cluster = managed.Settings(
        options.name, _state_dir(options), options.nodes, options.simulated_nodes, options.api_port
    )
    print(await managed.up(cluster, Progress(clock), clock))
    return 0


async def _down(options: argparse.Namespace) -> int:
    from pybernetes.assembly import managed

    print(await managed.down(options.name, _state_dir(options), SystemClock()))
    return 0


async def _status(options: argparse.Namespace) -> int:
    from pybernetes.assembly import managed

    text, fine = await managed.status(options.name, _state_dir(options), SystemClock())
    print(text)
    return 0 if fine else 1


async def _kubeconfig(options: argparse.Namespace) -> int:
    from pybernetes.assembly import managed

    sys.stdout.write(managed.kubeconfig_of(options.name, _state_dir(options)))
    return 0


async def _storage_class(options: argparse.Namespace) -> int:
    import yaml

    from pybernetes.client.rest import encode
    from pybernetes.controllers.local_path_provisioner import STORAGE_CLASS

    sys.stdout.write(yaml.safe_dump(encode(STORAGE_CLASS), sort_keys=False))
    return 0


async def _demo(options: argparse.Namespace) -> int:
    from pybernetes.assembly.demo import Demonstration

    if not options.examples.is_dir():
        raise LocalClusterError("the demonstration uses the project's examples: run `make demo` in a checkout of it")
    clock = SystemClock()
    progress = Progress(clock)
    await Demonstration(options.examples, progress, clock).run()
    progress.title("done")
    return 0


async def _serve(options: argparse.Namespace) -> int:
    from pybernetes.assembly.controlplane import serve
    from pybernetes.cmd._daemon import collect_rarely

    collect_rarely()
    await serve(options.folder, options.nodes, options.api_port, SystemClock())
    return 0


async def _image_build(options: argparse.Namespace) -> int:
    from pybernetes.assembly import managed
    from pybernetes.localcluster.image import build_image

    if options.control_plane:
        return await _control_plane_image(options.output or Path("control-plane.tar"))
    if options.folder is None or not options.tag:
        raise LocalClusterError("name a folder and the image's name (-t), or --control-plane")
    output = options.output or Path(f"{options.tag.rpartition('/')[2].partition(':')[0]}.tar")
    built = await asyncio.to_thread(build_image, options.folder, options.tag, output)
    print(f"{built.reference} {built.digest}\n{output}")
    if options.push:
        print(f"pushed {await managed.push(built, options.name, _state_dir(options), SystemClock())}")
    return 0


async def _control_plane_image(output: Path) -> int:
    from pybernetes.localcluster import system_image

    built = await asyncio.to_thread(system_image.build, output)
    for name in system_image.NAMES:
        print(f"{name} {built.digest}")
    print(output)
    return 0


async def _network_install(options: argparse.Namespace) -> int:
    from pybernetes.network.install import InstallError, install

    try:
        for path in install():
            print(f"wrote {path}")
    except InstallError as error:
        raise LocalClusterError(str(error)) from error
    return 0


async def _network_agent(options: argparse.Namespace) -> int:
    from pybernetes.client import kubeconfig
    from pybernetes.client.rest import Client
    from pybernetes.network.agent import NetworkAgent
    from pybernetes.network.backend import backend

    logging.getLogger().setLevel(logging.INFO)
    os.umask(0o022)
    transport = kubeconfig.transport_of(kubeconfig.load(options.kubeconfig))
    client = Client(transport, clock=SystemClock(), user_agent=f"pybernetes-network/{__version__}")
    await NetworkAgent(client, options.node_name, backend(options.backend)).run()
    return 0


if __name__ == "__main__":
    main()
