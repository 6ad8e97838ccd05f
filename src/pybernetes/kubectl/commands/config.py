"""kubectl config: reads and changes kubeconfig files."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
from msgspec.structs import replace

from pybernetes.client import kubeconfig
from pybernetes.client.kubeconfig import Cluster, Context, Kubeconfig, User
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.printers.table import layout
from pybernetes.kubectl.session import Session
from pybernetes.wire.codecs import yaml


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="ACTION [NAME]", help=", ".join(_ACTIONS))
    flags.flag("--minify", help="view: only what the current context uses")
    flags.flag("--raw", help="view: with keys and certificates")
    flags.flag("--flatten", help="view: files of keys and certificates taken in")
    flags.flag("--current", help="set-context: the current one")
    flags.add_argument("-o", "--output", default="yaml", choices=["yaml", "json", "name"], help="view: the format")
    flags.add_argument("--certificate-authority", default="", help="set-cluster: CA file")
    flags.flag("--insecure-skip-tls-verify", help="set-cluster: do not check the server's certificate")
    flags.add_argument("--tls-server-name", default="", help="set-cluster: name in the server's certificate")
    flags.flag("--embed-certs", help="set-cluster, set-credentials: take the files in")
    flags.add_argument("--client-certificate", default="", help="set-credentials: certificate file")
    flags.add_argument("--client-key", default="", help="set-credentials: key file")


async def _run(session: Session, options: argparse.Namespace) -> int:
    action, names = (options.what[0], options.what[1:]) if options.what else ("", [])
    if action not in _ACTIONS:
        raise Refused(f'unknown action "{action}": kubectl config {"|".join(_ACTIONS)}')
    _ACTIONS[action](session, options, names)
    return 0


def _save(session: Session, config: Kubeconfig) -> None:
    try:
        kubeconfig.save(config, session.options.kubeconfig or None)
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from error


def _name(names: list[str], what: str) -> str:
    if len(names) != 1:
        raise Refused(
            f"unexpected args: {names}, exactly one {what} is required" if names else f"you must specify a {what}"
        )
    return names[0]


def _view(session: Session, options: argparse.Namespace, names: list[str]) -> None:
    config = session.config
    if options.minify:
        config = _minified(config, options.context)
    document = yaml.load(kubeconfig.dump(config))
    if not options.raw:
        _redact(document)
    if options.output == "json":
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        sys.stdout.write(yaml.dump(document))


def _minified(config: Kubeconfig, asked: str) -> Kubeconfig:
    name = asked or config.current_context
    context = config.contexts.get(name)
    if context is None:
        raise Refused("cannot minify: current-context must exist in order to minify")
    return replace(
        config,
        contexts={name: context},
        clusters={k: v for k, v in config.clusters.items() if k == context.cluster},
        users={k: v for k, v in config.users.items() if k == context.user},
        current_context=name,
    )


def _redact(document: dict[str, list[dict[str, dict[str, str]]]]) -> None:
    for cluster in document.get("clusters") or ():
        if "certificate-authority-data" in cluster["cluster"]:
            cluster["cluster"]["certificate-authority-data"] = "DATA+OMITTED"
    for user in document.get("users") or ():
        for field in ("client-certificate-data", "client-key-data"):
            if field in user["user"]:
                user["user"][field] = "DATA+OMITTED"
        for field in ("token", "password"):
            if field in user["user"]:
                user["user"][field] = "REDACTED"


def _current(session: Session, options: argparse.Namespace, names: list[str]) -> None:
    if not session.config.current_context:
        raise Refused("current-context is not set")
    print(session.config.current_context)


def _contexts(session: Session, options: argparse.Namespace, names: list[str]) -> None:
    config = session.config
    for name in names:
        if name not in config.contexts:
            raise Refused(f"context {name} not found")
    chosen = sorted(names or config.contexts)
    if options.output == "name":
        for name in chosen:
            print(name)
        return
    rows = [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
    for name in chosen:
        context = config.contexts[name]
        rows.append(
            ["*" if name == config.current_context else "", name, context.cluster, context.user, context.namespace]
        )
    for line in layout(rows):
        print(line)


def _use(session: Session, options: argparse.Namespace, names: list[str]) -> None:
    name = _name(names, "context name")
    if name not in session.config.contexts:
        raise Refused(f'no context exists with the name: "{name}"')
    _save(session, replace(session.config, current_context=name))
    print(f'Switched to context "{name}".')


def _set_context(session: Session, options: argparse.Namespace, names: list[str]) -> None:
    config = session.config
    name = config.current_context if options.current else _name(names, "context name")
    if not name:
        raise Refused("no current context is set")
    before = config.contexts.get(name)
    given = {"cluster": options.cluster, "user": options.user, "namespace": options.namespace}
    after = replace(before or Context(), **{key: value for key, value in given.items() if value})
    _save(session, replace(config, contexts={**config.contexts, name: after}))
    print(f'Context "{name}" {"modified" if before else "created"}.')


def _read(path: str) -> str:
    try:
        return kubeconfig.encoded(Path(path).read_bytes())
    except OSError as error:
        raise Refused(f"could not read {path}: {error.strerror}") from error


def _with_file(given: dict[str, object], field: str, path: str, embed: bool) -> None:
    """Sets a file field, or its data field when the file is taken in."""
    if path:
        given[field] = "" if embed else str(Path(path).absolute())
        given[f"{field}_data"] = _read(path) if embed else ""


def _set_cluster(session: Session, options: argparse.Namespace, names: list[str]) -> None:
    name, config = _name(names, "cluster name"), session.config
    before = config.clusters.get(name)
    given: dict[str, object] = {"insecure_skip_tls_verify": True} if options.insecure_skip_tls_verify else {}
    given |= {k: v for k, v in {"server": options.server, "tls_server_name": options.tls_server_name}.items() if v}
    _with_file(given, "certificate_authority", options.certificate_authority, options.embed_certs)
    _save(session, replace(config, clusters={**config.clusters, name: replace(before or Cluster(), **given)}))
    print(f'Cluster "{name}" set.')


def _set_credentials(session: Session, options: argparse.Namespace, names: list[str]) -> None:
    name, config = _name(names, "user name"), session.config
    given: dict[str, object] = {"token": options.token} if options.token else {}
    _with_file(given, "client_certificate", options.client_certificate, options.embed_certs)
    _with_file(given, "client_key", options.client_key, options.embed_certs)
    before = config.users.get(name)
    _save(session, replace(config, users={**config.users, name: replace(before or User(), **given)}))
    print(f'User "{name}" set.')


def _listing(field: str) -> Callable[[Session, argparse.Namespace, list[str]], None]:
    def act(session: Session, options: argparse.Namespace, names: list[str]) -> None:
        print("NAME")
        for name in sorted(getattr(session.config, field)):
            print(name)

    return act


def _deletion(field: str, what: str) -> Callable[[Session, argparse.Namespace, list[str]], None]:
    def act(session: Session, options: argparse.Namespace, names: list[str]) -> None:
        name, known = _name(names, f"{what} name"), dict(getattr(session.config, field))
        place = options.kubeconfig or str(kubeconfig.files()[0])
        if known.pop(name, None) is None:
            raise Refused(f"cannot delete {what} {name}, not in {place}")
        if field == "contexts" and name == session.config.current_context:
            session.warn(
                '299 - "this removed your active context, use \\"kubectl config use-context\\" to select a different one"'
            )
        _save(session, replace(session.config, **{field: known}))
        print(f"deleted {what} {name} from {place}")

    return act


_ACTIONS: dict[str, Callable[[Session, argparse.Namespace, list[str]], None]] = {
    "view": _view,
    "current-context": _current,
    "get-contexts": _contexts,
    "get-clusters": _listing("clusters"),
    "get-users": _listing("users"),
    "use-context": _use,
    "use": _use,
    "set-context": _set_context,
    "set-cluster": _set_cluster,
    "set-credentials": _set_credentials,
    "delete-context": _deletion("contexts", "context"),
    "delete-cluster": _deletion("clusters", "cluster"),
    "delete-user": _deletion("users", "user"),
}

COMMAND = Command(
    help="Modify kubeconfig files",
    usage="config ACTION [NAME] [flags]",
    examples="  kubectl config view --minify\n  kubectl config set-context --current --namespace=kube-system",
    flags=_flags,
    run=_run,
)
