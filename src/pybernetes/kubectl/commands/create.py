"""kubectl create: objects of files, and the common kinds from arguments."""

import argparse
import base64
import sys
from collections.abc import Callable
from pathlib import Path

from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.dryrun import add_dry_run_flag, dry_run_query, dry_run_suffix
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.printers.output import add_output_flags, print_objects
from pybernetes.kubectl.session import Session
from pybernetes.kubectl.targets import add_file_flags, manifests


def _flags(flags: Flags) -> None:
    flags.add_argument(
        "what", nargs="*", metavar="KIND NAME", help=f"one of {', '.join(sorted(_MAKERS))}, token; or -f"
    )
    add_file_flags(flags, "to create")
    add_output_flags(flags)
    add_dry_run_flag(flags)
    flags.add_argument("--image", action="append", default=[], help="deployment: image, may be repeated")
    flags.add_argument("--replicas", type=int, default=1, help="deployment: number of Pods")
    flags.add_argument("--port", type=int, default=0, help="deployment: port of the container")
    flags.add_argument("--from-literal", action="append", default=[], help="configmap, secret: KEY=VALUE")
    flags.add_argument("--from-file", action="append", default=[], help="configmap, secret: [KEY=]PATH")
    flags.add_argument("--type", default="Opaque", help="secret generic: its type")
    flags.add_argument("--tcp", action="append", default=[], help="service: PORT[:TARGET]")
    flags.add_argument("--clusterrole", default="", help="bindings: the ClusterRole")
    flags.add_argument("--role", default="", help="rolebinding: the Role")
    flags.add_argument("--serviceaccount", action="append", default=[], help="bindings: NAMESPACE:NAME")
    flags.add_argument("--group", action="append", default=[], help="bindings: a group")
    flags.add_argument("--for-user", action="append", default=[], help="bindings: a user")
    flags.add_argument("--verb", default="", help="role, clusterrole: verbs, comma separated")
    flags.add_argument("--resource", default="", help="role, clusterrole: resources, comma separated")
    flags.add_argument("--duration", default="", help="token: lifetime, as 10m")
    flags.add_argument("--validate", default="strict", help="strict, warn or ignore unknown fields")


async def _run(session: Session, options: argparse.Namespace) -> int:
    if options.what[:1] == ["token"]:
        return await _token(session, options)
    mapper = await session.mapper()
    if options.filename:
        found = await manifests(session, options)
        places = [(m.mapping, m.namespace, m.obj) for m in found]
    else:
        obj = _made(options)
        mapping = mapper.of_kind(obj["apiVersion"], obj["kind"])
        if mapping is None:
            raise Refused(f'the server doesn\'t have a resource type "{options.what[0]}"')
        namespace = session.namespace if mapping.namespaced else ""
        if namespace and (options.namespace or options.dry_run == "none"):
            obj["metadata"]["namespace"] = namespace
        places = [(mapping, namespace, obj)]
    results = []
    for mapping, namespace, obj in places:
        if options.dry_run != "client":
            validation = {"strict": "Strict", "true": "Strict", "warn": "Warn"}.get(options.validate, "Ignore")
            query = {"fieldValidation": validation, "fieldManager": "kubectl-create", **dry_run_query(options)}
            obj = await session.request("POST", mapping.path(namespace), obj, query=query)
        results.append(obj)
        if not options.output:
            print(f"{mapping.shown_kind}/{obj['metadata'].get('name', '')} created{dry_run_suffix(options)}")
    if options.output:
        print_objects(results, options, mapper, single=True)
    return 0


async def _token(session: Session, options: argparse.Namespace) -> int:
    from pybernetes.kubectl.durations import seconds

    if len(options.what) != 2:
        raise Refused("exactly one NAME is required, got 0")
    spec: Object = {"expirationSeconds": int(seconds(options.duration, "--duration"))} if options.duration else {}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{session.namespace}/serviceaccounts/{options.what[1]}/token"
    answer = await session.request("POST", path, body)
    sys.stdout.write(answer["status"]["token"] + "\n")
    return 0


def _made(options: argparse.Namespace) -> Object:
    if not options.what:
        raise Refused("must specify one of -f, or a kind and a name: kubectl create --help")
    kind, *names = options.what
    if kind in ("secret", "service") and names:
        kind, names = f"{kind} {names[0]}", names[1:]
    kind = {"cm": "configmap", "deploy": "deployment", "sa": "serviceaccount", "ns": "namespace"}.get(kind, kind)
    if kind not in _MAKERS:
        raise Refused(
            f'unknown kind "{kind}": kubectl create knows {", ".join(sorted(_MAKERS))}, and any object with -f'
        )
    if len(names) != 1:
        raise Refused(f"exactly one NAME is required, got {len(names)}")
    return _MAKERS[kind](names[0], options)


def _namespace(name: str, options: argparse.Namespace) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _serviceaccount(name: str, options: argparse.Namespace) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def _deployment(name: str, options: argparse.Namespace) -> Object:
    if not options.image:
        raise Refused('required flag(s) "image" not set')
    containers: list[Object] = []
    for image in options.image:
        container: Object = {"name": image.rpartition("/")[2].partition("@")[0].partition(":")[0], "image": image}
        if options.port:
            container["ports"] = [{"containerPort": options.port}]
        containers.append(container)
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": options.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def _data(options: argparse.Namespace) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for word in options.from_literal:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Refused(f"invalid literal source {word}, expected key=value")
        found[key] = value.encode()
    for word in options.from_file:
        key, equals, path = word.partition("=")
        file = Path(path if equals else word)
        try:
            paths = [p for p in sorted(file.iterdir()) if p.is_file()] if file.is_dir() else [file]
            found.update({key if equals else p.name: p.read_bytes() for p in paths})
        except OSError as error:
            raise Refused(f"error reading {file}: {error.strerror}") from error
    return found


def _configmap(name: str, options: argparse.Namespace) -> Object:
    obj: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    for key, value in _data(options).items():
        try:
            obj.setdefault("data", {})[key] = value.decode()
        except UnicodeDecodeError:
            obj.setdefault("binaryData", {})[key] = base64.b64encode(value).decode()
    return obj


def _secret(name: str, options: argparse.Namespace) -> Object:
    data = {key: base64.b64encode(value).decode() for key, value in _data(options).items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": options.type, "data": data}


def _service(name: str, options: argparse.Namespace) -> Object:
    ports = []
    for word in options.tcp:
        port, colon, target = word.partition(":")
        ports.append(
            {
                "name": word.replace(":", "-"),
                "port": int(port),
                "targetPort": int(target if colon else port),
                "protocol": "TCP",
            }
        )
    if not ports:
        raise Refused("at least one tcp port specifier must be provided")
    kind = "NodePort" if options.what[1] == "nodeport" else "ClusterIP"
    spec = {"type": kind, "ports": ports, "selector": {"app": name}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def _rule(name: str, options: argparse.Namespace) -> Object:
    if not options.verb or not options.resource:
        raise Refused("at least one verb and one resource must be specified")
    rules: list[Object] = []
    for word in options.resource.split(","):
        resource, _, group = word.partition(".")
        rules.append({"apiGroups": [group], "resources": [resource], "verbs": options.verb.split(",")})
    kind = "ClusterRole" if options.what[0] == "clusterrole" else "Role"
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": rules}


def _binding(name: str, options: argparse.Namespace) -> Object:
    if bool(options.role) == bool(options.clusterrole):
        raise Refused("exactly one of clusterrole or role must be specified")
    group = "rbac.authorization.k8s.io"
    subjects: list[Object] = [{"kind": "User", "apiGroup": group, "name": user} for user in options.for_user]
    subjects += [{"kind": "Group", "apiGroup": group, "name": name} for name in options.group]
    for word in options.serviceaccount:
        namespace, colon, account = word.partition(":")
        if not colon:
            raise Refused("serviceaccount must be <namespace>:<name>")
        subjects.append({"kind": "ServiceAccount", "namespace": namespace, "name": account})
    kind = "ClusterRoleBinding" if options.what[0] == "clusterrolebinding" else "RoleBinding"
    role = {
        "apiGroup": group,
        "kind": "Role" if options.role else "ClusterRole",
        "name": options.role or options.clusterrole,
    }
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": role,
        "subjects": subjects,
    }


_MAKERS: dict[str, Callable[[str, argparse.Namespace], Object]] = {
    "namespace": _namespace,
    "serviceaccount": _serviceaccount,
    "deployment": _deployment,
    "configmap": _configmap,
    "secret generic": _secret,
    "service clusterip": _service,
    "service nodeport": _service,
    "role": _rule,
    "clusterrole": _rule,
    "rolebinding": _binding,
    "clusterrolebinding": _binding,
}

COMMAND = Command(
    help="Create a resource from a file or from stdin",
    usage="create (-f FILE | KIND NAME [flags])",
    examples="  kubectl create -f pod.yaml\n  kubectl create deployment web --image=gasbugs/http-go --replicas=3\n"
    "  kubectl create configmap app --from-literal=colour=blue",
    flags=_flags,
    run=_run,
)
