"""The kubeadm command: flags to configuration to pybernetes.kubeadm.commands. Flags and exit codes are upstream's."""

import argparse
import asyncio
import logging
import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import orjson

from pybernetes import KUBERNETES_VERSION
from pybernetes.aio.clock import SystemClock
from pybernetes.api import version
from pybernetes.cmd._flags import comma_list, duration
from pybernetes.kubeadm import commands, configfile, shared_certs, tokens
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm.config import Checks, InitConfig, JoinConfig, JoinControlPlane, Networking, Node, Paths
from pybernetes.kubeadm.errors import InvalidConfigError, KubeadmError
from pybernetes.kubeadm.reset import reset
from pybernetes.wire.codecs import yaml

_HINT = "To see the stack trace of this error execute with --v=5 or higher"
_BESIDE_CONFIG = {
    "action", "config", "dry_run", "flag_default", "ignore_preflight_errors", "node_name", "phase", "rootfs",
    "skip_certificate_key_print", "skip_phases", "skip_token_print", "upload_certs", "v",
}  # fmt: skip

Action = Callable[[argparse.Namespace, commands.Machine], Awaitable[None]]


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise KubeadmError(f"{message}\nSee '{self.prog} --help' for usage")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbosity = 0
    try:
        flags = _parser().parse_args(_with_phase(arguments))
        verbosity = flags.v
        logging.basicConfig(level=logging.DEBUG if verbosity >= 1 else logging.ERROR, format="%(message)s")
        machine = commands.Machine(Paths(Path(flags.rootfs)), SystemClock(), _say, _warn)
        asyncio.run(flags.action(flags, machine))
    except KubeadmError as error:
        if verbosity >= 5:
            traceback.print_exc()
        _warn(f"{error}\n{_HINT}")
        return error.exit_code
    except KeyboardInterrupt:
        _warn("interrupted; 'kubeadm reset -f' undoes what was done so far")
        return 130
    return 0


def _with_phase(arguments: Sequence[str]) -> list[str]:
    """`init phase addon kube-proxy --flag` as `init --phase addon-kube-proxy --flag`: names of phases may have words."""
    if len(arguments) < 2 or arguments[0] not in ("init", "join") or arguments[1] != "phase":
        return list(arguments)
    rest = list(arguments[2:])
    words: list[str] = []
    while rest and not rest[0].startswith("-") and (not words or arguments[0] == "init" or rest[0] == "all"):
        words.append(rest.pop(0))
    name = "-".join(word for word in words if word != "all")
    return [arguments[0], f"--phase={name}", *rest]


def _say(text: str) -> None:
    print(text, flush=True)


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="kubeadm", description="Easily bootstrap a secure Kubernetes cluster on your own machines.")
    common = _Parser(add_help=False)
    common.add_argument("-v", "--v", type=int, default=0, metavar="LEVEL", help="number for the log level verbosity")
    common.add_argument("--rootfs", default="/", metavar="PATH", help="folder that stands for / on this machine")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_init(
        verbs.add_parser(
            "init",
            parents=[common],
            help="Set up the control plane on this machine (`init phase NAME`: one step of it)",
        )
    )
    _add_join(verbs.add_parser("join", parents=[common], help="Join this machine to an existing cluster"))
    _add_token(verbs.add_parser("token", help="Manage bootstrap tokens"), common)
    _add_reset(verbs.add_parser("reset", parents=[common], help="Undo what init or join did to this machine"))
    certs = _subcommands(verbs.add_parser("certs", help="Look after the cluster's certificates"))
    expiration = certs.add_parser("check-expiration", parents=[common], help="Show when certificates end")
    expiration.set_defaults(action=_check_expiration)
    key = certs.add_parser("certificate-key", parents=[common], help="Generate a key for --certificate-key")
    key.set_defaults(action=_certificate_key)
    images = _subcommands(verbs.add_parser("config", help="Show configuration"))
    listing = _subcommands(images.add_parser("images", help="The images a cluster needs"))
    listed = listing.add_parser("list", parents=[common], help="Print the images a cluster needs")
    listed.add_argument("--kubernetes-version", default=KUBERNETES_VERSION)
    listed.set_defaults(action=_images)
    told = verbs.add_parser("version", parents=[common], help="Print the version")
    told.add_argument("-o", "--output", choices=["short", "yaml", "json"], default="")
    told.set_defaults(action=_version)
    return parser


def _subcommands(parser: argparse.ArgumentParser) -> Any:
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)


def _add_checks(parser: argparse.ArgumentParser) -> None:
    names = "A list of checks whose errors will be shown as warnings. Example: 'IsPrivilegedUser,Swap'. 'all' is all"
    parser.add_argument("--ignore-preflight-errors", type=comma_list, default=[], action="extend", help=names)
    parser.add_argument("--phase", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--cri-socket", default=c.CRI_SOCKET, metavar="URL", help="the container runtime's socket")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="", metavar="FILE", help="a configuration file (kubeadm.k8s.io/v1beta4)")
    parser.set_defaults(flag_default=parser.get_default, kubelet_extra_args=())


def _apply_file(flags: argparse.Namespace, read: Callable[[Path], dict[str, Any]]) -> None:
    """Puts what the file says where the flags are. Raises InvalidConfigError for flags that the file would override."""
    if not flags.config:
        return
    mixed = [
        name for name, value in vars(flags).items() if name not in _BESIDE_CONFIG and value != flags.flag_default(name)
    ]
    if mixed:
        listed = " ".join(name.replace("_", "-") for name in sorted(mixed))
        raise InvalidConfigError(f"can not mix '--config' with arguments [{listed}]")
    for name, value in read(Path(flags.config)).items():
        if name == "ignore_preflight_errors":
            value = [*flags.ignore_preflight_errors, *value]
        setattr(flags, name, _ttl(value) if name == "token_ttl" else value)


def _ttl(text: str) -> float:
    try:
        return duration(text)
    except argparse.ArgumentTypeError as error:
        raise InvalidConfigError(f"bootstrapTokens[0].ttl: {error}") from error


def _add_control_plane(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--apiserver-advertise-address", default="", metavar="IP", help="the address of the API server")
    add("--apiserver-bind-port", type=int, default=6443, metavar="PORT", help="the port of the API server")
    what = "the key of the uploaded certificates: an AES key of 32 bytes, hexadecimal"
    add("--certificate-key", default="", metavar="HEX", help=what)


def _add_init(parser: argparse.ArgumentParser) -> None:
    _add_control_plane(parser)
    add = parser.add_argument
    add("--apiserver-cert-extra-sans", type=comma_list, default=[], action="extend", metavar="NAMES", help="more names")
    add("--control-plane-endpoint", default="", metavar="HOST:PORT", help="a stable name for the control plane")
    add("--pod-network-cidr", default="", metavar="CIDR", help="the range of Pod addresses; each node gets a part")
    add("--service-cidr", default=c.SERVICE_CIDR, metavar="CIDR", help="the range of Service addresses")
    add("--service-dns-domain", default=c.DNS_DOMAIN, metavar="NAME", help="the domain of Services")
    add("--node-name", default="", metavar="NAME", help="this node's name")
    add("--token", default="", help="the token for joining; generated when it is not given")
    add("--token-ttl", type=duration, default=24 * 3600.0, metavar="DURATION", help="how long it lasts; 0 is for ever")
    add("--skip-token-print", action="store_true", help="do not print the token")
    add("--upload-certs", action="store_true", help="keep what control planes share in the Secret kubeadm-certs")
    add("--skip-certificate-key-print", action="store_true", help="do not print the key of those certificates")
    add("--skip-phases", type=comma_list, default=[], action="extend", metavar="NAMES", help="phases to leave out")
    add("--dry-run", action="store_true", help="check and show, change nothing")
    _add_checks(parser)
    _add_config(parser)
    parser.set_defaults(action=_init, extra_args={}, extra_volumes={}, kubelet_configuration={}, etcd=None)


def _add_join(parser: argparse.ArgumentParser) -> None:
    _add_control_plane(parser)
    add = parser.add_argument
    add("--control-plane", action="store_true", help="a further control plane (needs etcd and a stable endpoint)")
    add("endpoint", nargs="?", default="", metavar="HOST:PORT", help="the API server")
    add("--token", default="", help="the token that `kubeadm init` or `kubeadm token create` printed")
    add("--discovery-token", default="", help="a token of its own for discovery")
    add(
        "--discovery-token-ca-cert-hash",
        type=comma_list,
        default=[],
        action="extend",
        metavar="sha256:HEX",
        help="the hash of the cluster's CA key",
    )
    add("--discovery-token-unsafe-skip-ca-verification", action="store_true", help="join without that hash")
    add("--node-name", default="", metavar="NAME", help="this node's name")
    add("--skip-phases", type=comma_list, default=[], action="extend", metavar="NAMES", help="phases to leave out")
    add("--dry-run", action="store_true", help="check and show, change nothing")
    _add_checks(parser)
    _add_config(parser)
    parser.set_defaults(action=_join)


def _add_token(parser: argparse.ArgumentParser, common: _Parser) -> None:
    verbs = _subcommands(parser)
    admin = _Parser(add_help=False)
    admin.add_argument("--kubeconfig", default="", metavar="FILE", help=f"default {c.ADMIN_CONF}")
    create = verbs.add_parser("create", parents=[common, admin], help="Create a token on the server")
    create.add_argument("token", nargs="?", default="")
    create.add_argument("--ttl", type=duration, default=24 * 3600.0, metavar="DURATION", help="0 is for ever")
    create.add_argument("--description", default="")
    create.add_argument("--groups", type=comma_list, default=[], action="extend", help=f"default {tokens.GROUP}")
    create.add_argument("--print-join-command", action="store_true", help="print the whole `kubeadm join`")
    add_key = "with --print-join-command: the command of a control plane"
    create.add_argument("--certificate-key", default="", metavar="HEX", help=add_key)
    create.set_defaults(action=_token_create)
    listed = verbs.add_parser("list", parents=[common, admin], help="List the tokens on the server")
    listed.set_defaults(action=_token_list)
    delete = verbs.add_parser("delete", parents=[common, admin], help="Delete tokens on the server")
    delete.add_argument("tokens", nargs="+", metavar="TOKEN", help="a token or its id")
    delete.set_defaults(action=_token_delete)
    generate = verbs.add_parser("generate", parents=[common], help="Print a new token without creating it")
    generate.set_defaults(action=_token_generate)


def _add_reset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    _add_checks(parser)
    parser.set_defaults(action=_reset)


async def _init(flags: argparse.Namespace, machine: commands.Machine) -> None:
    _apply_file(flags, configfile.init_values)
    address = flags.apiserver_advertise_address or own_address()
    if not address:
        raise InvalidConfigError(
            "unable to select an IP from default routes: name the address with --apiserver-advertise-address"
        )
    token = tokens.parse(flags.token) if flags.token else tokens.generate()
    config = InitConfig(
        node=_node(flags, address),
        networking=Networking(
            pod_cidr=flags.pod_network_cidr, service_cidr=flags.service_cidr, dns_domain=flags.service_dns_domain
        ),
        token=token,
        token_ttl=flags.token_ttl,
        bind_port=flags.apiserver_bind_port,
        control_plane_endpoint=flags.control_plane_endpoint,
        cert_extra_sans=tuple(flags.apiserver_cert_extra_sans),
        checks=_checks(flags),
        skip_token_print=flags.skip_token_print,
        upload_certs=flags.upload_certs,
        certificate_key=flags.certificate_key,
        skip_certificate_key_print=flags.skip_certificate_key_print,
        dry_run=flags.dry_run,
        extra_args=flags.extra_args,
        extra_volumes=flags.extra_volumes,
        kubelet=flags.kubelet_configuration,
        etcd=flags.etcd,
    )
    c.check_init(config)
    if flags.phase is None:
        await commands.init(config, machine)
    else:
        await commands.init_phase(flags.phase, config, machine)


async def _join(flags: argparse.Namespace, machine: commands.Machine) -> None:
    _apply_file(flags, configfile.join_values)
    text = flags.token or flags.discovery_token
    if not text:
        raise InvalidConfigError(
            'discovery.tlsBootstrapToken: Invalid value: "": pass --token (`kubeadm token create --print-join-command` '
            "on the control-plane node prints the whole command)"
        )
    address = flags.apiserver_advertise_address or own_address(c.split_host(flags.endpoint)[0])
    plane = JoinControlPlane(bind_port=flags.apiserver_bind_port, certificate_key=flags.certificate_key)
    config = JoinConfig(
        node=_node(flags, address),
        control_plane=plane if flags.control_plane else None,
        endpoint=flags.endpoint,
        token=tokens.parse(text),
        ca_hashes=tuple(flags.discovery_token_ca_cert_hash),
        checks=_checks(flags),
        dry_run=flags.dry_run,
    )
    c.check_join(config, unsafe=flags.discovery_token_unsafe_skip_ca_verification)
    if flags.phase is None:
        await commands.join(config, machine)
    else:
        await commands.join_phase(flags.phase, config, machine)


async def _token_create(flags: argparse.Namespace, machine: commands.Machine) -> None:
    if flags.certificate_key and not flags.print_join_command:
        raise KubeadmError("cannot use --certificate-key without --print-join-command")
    new = commands.NewToken(
        tokens.parse(flags.token) if flags.token else tokens.generate(),
        flags.ttl,
        flags.description,
        tuple(flags.groups) or (tokens.GROUP,),
        flags.print_join_command,
        flags.certificate_key,
    )
    await commands.create_token(new, _admin(flags, machine), machine)


async def _token_list(flags: argparse.Namespace, machine: commands.Machine) -> None:
    await commands.list_tokens(_admin(flags, machine), machine)


async def _token_delete(flags: argparse.Namespace, machine: commands.Machine) -> None:
    await commands.delete_tokens(flags.tokens, _admin(flags, machine), machine)


async def _token_generate(flags: argparse.Namespace, machine: commands.Machine) -> None:
    machine.say(str(tokens.generate()))


async def _reset(flags: argparse.Namespace, machine: commands.Machine) -> None:
    if not flags.force:
        _warn("[reset] WARNING: Changes made to this host by 'kubeadm init' or 'kubeadm join' will be reverted.")
        _warn("[reset] Are you sure you want to proceed? [y/N]: ")
        answer = await asyncio.to_thread(sys.stdin.readline)
        if answer.strip().lower() not in ("y", "yes"):
            raise KubeadmError("aborted reset operation")
    await reset(machine, _checks(flags), flags.cri_socket)


async def _check_expiration(flags: argparse.Namespace, machine: commands.Machine) -> None:
    commands.check_expiration(machine)


async def _certificate_key(flags: argparse.Namespace, machine: commands.Machine) -> None:
    machine.say(shared_certs.new_key())


async def _images(flags: argparse.Namespace, machine: commands.Machine) -> None:
    machine.say("\n".join(commands.images(flags.kubernetes_version)))


async def _version(flags: argparse.Namespace, machine: commands.Machine) -> None:
    known = {"clientVersion": version.info()}
    texts = {
        "short": KUBERNETES_VERSION,
        "json": orjson.dumps(known, option=orjson.OPT_INDENT_2).decode(),
        "yaml": yaml.dump(known).rstrip("\n"),
        "": f"kubeadm version: &{version.literal()}",
    }
    machine.say(texts[flags.output])


def _node(flags: argparse.Namespace, address: str) -> Node:
    name = (flags.node_name or os.uname().nodename).strip().lower()
    return Node(name=name, address=address, cri_socket=flags.cri_socket, extra_args=flags.kubelet_extra_args)


def _checks(flags: argparse.Namespace) -> Checks:
    skipped = getattr(flags, "skip_phases", [])
    return Checks(ignored=frozenset(flags.ignore_preflight_errors), skipped_phases=frozenset(skipped))


def _admin(flags: argparse.Namespace, machine: commands.Machine) -> Path:
    named = flags.kubeconfig or (
        os.environ.get("KUBECONFIG", "") if not machine.paths.at(c.ADMIN_CONF).exists() else ""
    )
    return Path(named) if named else machine.paths.at(c.ADMIN_CONF)


def own_address(towards: str = "") -> str:
    """This machine's address on the way to another, or to everywhere; empty where there is no way. Sends nothing."""
    target = towards or "192.0.2.1"
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((target, 9))
            return str(sock.getsockname()[0])
        except OSError:
            return "" if towards else _address_of_own_name()


def _address_of_own_name() -> str:
    """What a machine without a default route calls itself."""
    try:
        found = socket.getaddrinfo(os.uname().nodename, None, socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:
        return ""
    addresses = [str(item[4][0]) for item in found]
    return next((address for address in addresses if not address.startswith("127.")), "")


if __name__ == "__main__":
    sys.exit(main())
