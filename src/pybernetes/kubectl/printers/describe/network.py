"""Services, what stands behind them, and what may reach what."""

from collections.abc import Iterable, Sequence

from pybernetes.api.objects import Object
from pybernetes.kubectl.printers.describe import blocks
from pybernetes.kubectl.printers.describe.blocks import Lines, go, meta, none, selector, spec, status
from pybernetes.kubectl.session import Session

_MOST = 3
"""Endpoints that are named; the others are counted."""


async def _slices(session: Session, namespace: str, service: str) -> Sequence[Object]:
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    query = {"labelSelector": f"kubernetes.io/service-name={service}"}
    found: Sequence[Object] = (await session.request("GET", path, query=query)).get("items") or ()
    return found


def _endpoints(slices: Iterable[Object], port: str) -> str:
    found: list[str] = []
    for piece in slices:
        ports = piece.get("ports") or ()
        numbers = [f":{p.get('port')}" for p in ports if (p.get("name") or "") == port]
        for number in numbers if ports else [""]:
            for endpoint in piece.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True):
                    found += [
                        f"[{a}]{number}" if ":" in a and number else f"{a}{number}" for a in endpoint["addresses"]
                    ]
    more = f" + {len(found) - _MOST} more..." if len(found) > _MOST else ""
    return ",".join(found[:_MOST]) + more


async def service(session: Session, obj: Object) -> Lines:
    """Its addresses, and what stands behind each port."""
    own = spec(obj)
    lines = [*blocks.name(obj), *blocks.labels(obj), *blocks.annotations(obj)]
    lines += [f"Selector:\t{none(selector(own.get('selector')))}", f"Type:\t{own.get('type', '')}"]
    lines += [f"IP Family Policy:\t{own['ipFamilyPolicy']}"] if own.get("ipFamilyPolicy") else []
    lines += [f"IP Families:\t{none(','.join(own.get('ipFamilies') or ()))}", f"IP:\t{own.get('clusterIP', '')}"]
    lines.append(f"IPs:\t{none(','.join(own.get('clusterIPs') or ()))}")
    lines += [f"External IPs:\t{','.join(own['externalIPs'])}"] if own.get("externalIPs") else []
    lines += [f"Desired LoadBalancer IP:\t{own['loadBalancerIP']}"] if own.get("loadBalancerIP") else []
    lines += [f"External Name:\t{own['externalName']}"] if own.get("externalName") else []
    ingress = (status(obj).get("loadBalancer") or {}).get("ingress") or ()
    shown = [one.get("ip") or one.get("hostname", "") for one in ingress]
    modes = [f" ({one['ipMode']})" if one.get("ipMode") else "" for one in ingress]
    if shown:
        lines.append(f"LoadBalancer Ingress:\t{', '.join(a + b for a, b in zip(shown, modes, strict=True))}")
    slices = await _slices(session, meta(obj)["namespace"], meta(obj)["name"])
    for port in own.get("ports") or ():
        name, protocol = port.get("name") or "<unset>", port.get("protocol", "TCP")
        lines.append(f"Port:\t{name}\t{port['port']}/{protocol}")
        lines += [f"TargetPort:\t{port['targetPort']}/{protocol}"] if port.get("targetPort") else []
        lines += [f"NodePort:\t{name}\t{port['nodePort']}/{protocol}"] if port.get("nodePort") else []
        lines.append(f"Endpoints:\t{_endpoints(slices, port.get('name', ''))}")
    lines.append(f"Session Affinity:\t{own.get('sessionAffinity', '')}")
    for title, field in (
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
        ("Traffic Distribution", "trafficDistribution"),
        ("HealthCheck NodePort", "healthCheckNodePort"),
    ):
        lines += [f"{title}:\t{own[field]}"] if own.get(field) else []
    ranges = own.get("loadBalancerSourceRanges")
    return [*lines, f"LoadBalancer Source Ranges:\t{','.join(ranges)}"] if ranges else lines


async def endpoints(_: Session, obj: Object) -> Lines:
    """Addresses and ports, subset by subset."""
    lines = [*blocks.name(obj), *blocks.labels(obj), *blocks.annotations(obj), "Subsets:"]
    for subset in obj.get("subsets") or ():
        for title, field in (("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")):
            lines.append(f"  {title}:\t{none(','.join(a['ip'] for a in subset.get(field) or ()))}")
        if subset.get("ports"):
            rows = [[p.get("name") or "<unset>", p["port"], p.get("protocol", "TCP")] for p in subset["ports"]]
            lines += ["  Ports:", *blocks.table(["Name", "Port", "Protocol"], rows, "    ")]
        lines.append("")
    return lines


async def endpoint_slice(_: Session, obj: Object) -> Lines:
    """Ports, and every endpoint."""
    lines = [*blocks.name(obj), *blocks.labels(obj), *blocks.annotations(obj), f"AddressType:\t{obj['addressType']}"]
    rows = [
        [p.get("name") or "<unset>", p.get("port", "<unset>"), p.get("protocol", "TCP")] for p in obj.get("ports") or ()
    ]
    lines += ["Ports:", *blocks.table(["Name", "Port", "Protocol"], rows)] if rows else ["Ports: <unset>"]
    found = obj.get("endpoints") or ()
    lines.append("Endpoints:" if found else "Endpoints: <none>")
    for one in found:
        ready, target = (one.get("conditions") or {}).get("ready"), one.get("targetRef")
        lines += [f"  - Addresses:\t{', '.join(one['addresses'])}", "    Conditions:"]
        lines.append(f"      Ready:\t{'<unset>' if ready is None else go(ready)}")
        lines.append(f"    Hostname:\t{one.get('hostname', '<unset>')}")
        lines += [f"    TargetRef:\t{target['kind']}/{target['name']}"] if target else []
        lines += [f"    NodeName:\t{one.get('nodeName', '<unset>')}", f"    Zone:\t{one.get('zone', '<unset>')}"]
    return lines


async def ingress(session: Session, obj: Object) -> Lines:
    """Where its hosts and paths lead."""
    own, namespace = spec(obj), meta(obj)["namespace"]
    balancers = (status(obj).get("loadBalancer") or {}).get("ingress") or ()
    default = await _backend(session, namespace, own["defaultBackend"]) if own.get("defaultBackend") else "<default>"
    lines = [f"Name:\t{meta(obj)['name']}", *blocks.labels(obj), f"Namespace:\t{namespace}"]
    lines.append(f"Address:\t{','.join(one.get('ip') or one.get('hostname', '') for one in balancers)}")
    lines += [f"Ingress Class:\t{none(own.get('ingressClassName'))}", f"Default backend:\t{default}"]
    if own.get("tls"):
        lines.append("TLS:")
        for one in own["tls"]:
            hosts = ",".join(one.get("hosts") or ())
            lines.append(
                f"  {one['secretName']} terminates {hosts}" if one.get("secretName") else f"  SNI routes {hosts}"
            )
    lines += ["Rules:", *blocks.table(["Host", "Path", "Backends"], ())]
    rules = [rule for rule in own.get("rules") or () if rule.get("http")]
    for rule in rules:
        lines.append(f"  {rule.get('host') or '*'}\t")
        for path in rule["http"]["paths"]:
            lines.append(f"    \t{path.get('path', '')} \t{await _backend(session, namespace, path['backend'])}")
    if not rules:
        lines.append(f"  *\t*\t{default}")
    return [*lines, *blocks.annotations(obj)]


async def _backend(session: Session, namespace: str, of: Object) -> str:
    if "service" not in of:
        ref = of["resource"]
        return f"APIGroup: {ref.get('apiGroup', '')}, Kind: {ref['kind']}, Name: {ref['name']}"
    name, port = of["service"]["name"], of["service"].get("port") or {}
    listed = await session.request("GET", f"/api/v1/namespaces/{namespace}/services")
    there = next((one for one in listed.get("items") or () if meta(one)["name"] == name), None)
    shown = f"{name}:{port.get('name') or port.get('number', '')}"
    if there is None:
        return f'{shown} (<error: services "{name}" not found>)'
    ports = spec(there).get("ports") or ()
    wanted = [p for p in ports if (port.get("name") or port.get("number")) in (p.get("name"), p["port"])]
    found = _endpoints(await _slices(session, namespace, name), wanted[0].get("name", "") if wanted else "")
    return f"{shown} ({found})"


async def network_policy(_: Session, obj: Object) -> Lines:
    """Whom it isolates, and what it lets through."""
    own = spec(obj)
    made = meta(obj).get("creationTimestamp", "").replace("T", " ").replace("Z", " +0000 UTC")
    lines = [*blocks.name(obj), f"Created on:\t{made}", *blocks.labels(obj), *blocks.annotations(obj), "Spec:"]
    everyone = "<none> (Allowing the specific traffic to all pods in this namespace)"
    lines.append(f"  PodSelector:     {selector(own.get('podSelector')) or everyone}")
    kinds = own.get("policyTypes") or ()
    for kind, source, peers, word in (("ingress", "source", "from", "From"), ("egress", "destination", "to", "To")):
        if kind.capitalize() not in kinds:
            lines.append(f"  Not affecting {kind} traffic")
            continue
        lines.append(f"  Allowing {kind} traffic:")
        rules = own.get(kind) or ()
        lines += [] if rules else [f"    <none> (Selected pods are isolated for {kind} connectivity)"]
        for at, rule in enumerate(rules):
            lines += _ports(rule.get("ports") or ()) + _peers(rule.get(peers) or (), word, source)
            lines += ["    ----------"] if at != len(rules) - 1 else []
    return [*lines, f"  Policy Types: {', '.join(kinds)}"]


def _ports(ports: Sequence[Object]) -> Lines:
    lines = [] if ports else ["    To Port: <any> (traffic allowed to all ports)"]
    for one in ports:
        protocol, port, end = one.get("protocol", "TCP"), one.get("port"), one.get("endPort")
        if end is not None:
            lines.append(f"    To Port Range: {port}-{end}/{protocol}")
        else:
            lines.append(f"    To Port: {'<any>' if port is None else port}/{protocol}")
    return lines


def _peers(peers: Sequence[Object], word: str, source: str) -> Lines:
    lines = [] if peers else [f"    {word}: <any> (traffic not restricted by {source})"]
    for one in peers:
        lines.append(f"    {word}:")
        for title, field in (("NamespaceSelector", "namespaceSelector"), ("PodSelector", "podSelector")):
            lines += [f"      {title}: {none(selector(one[field]))}"] if one.get(field) is not None else []
        if block := one.get("ipBlock"):
            lines += ["      IPBlock:", f"        CIDR: {block['cidr']}"]
            lines.append(f"        Except: {', '.join(block.get('except') or ())}")
    return lines
