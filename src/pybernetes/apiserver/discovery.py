"""Discovery: which groups, versions and resources this server serves, and what they are called. pipeline.py routes here.

Both forms: the legacy lists, one a path, and the aggregated document (apidiscovery.k8s.io) that kubectl asks for first.
Everything is made when first asked for, from what is really served; server.py makes a new Discovery when that changes.
"""

import hashlib
from collections.abc import Callable
from functools import cache, partial

import orjson

from pybernetes.api import facts
from pybernetes.api.facts import ResourceFacts
from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import Catalog, Served
from pybernetes.apiserver.crd.serving import priority
from pybernetes.apiserver.encodings import plainly
from pybernetes.apiserver.media import accepted
from pybernetes.apiserver.options import Query
from pybernetes.apiserver.pages import Page
from pybernetes.wire.http import Headers, Request, Response

GROUP = "apidiscovery.k8s.io"
_KIND = "APIGroupDiscoveryList"
_VERSIONS = ("v2", "v2beta1")
_GENERIC = ("status", "scale")


class Discovery:
    """The pages below /api and /apis."""

    def __init__(self, catalog: Catalog, address: str) -> None:
        self._address = address
        self._by_version: dict[tuple[str, str], list[Served]] = {}
        for served in catalog:
            if served.refused:
                continue  # generic clients would choose it
            self._by_version.setdefault((served.facts.group, served.facts.version), []).append(served)
        for group in self._by_version.values():
            group.sort(key=lambda served: served.facts.plural)
        # Built-in versions come as they are; those of custom resources the newest and most stable first.
        known = {(one.group, one.version) for one in facts.resources()}
        custom = sorted((one for one in self._by_version if one not in known), key=lambda one: priority(one[1]))
        for version in custom:
            self._by_version[version] = self._by_version.pop(version)
        self._groups = _sorted_groups({group for group, _ in self._by_version if group})

    def table(self) -> dict[str, Page]:
        """Path to page."""
        table = {
            "/api": self._root(["core"], self._legacy_versions),
            "/apis": self._root(list(self._groups), self._group_list),
        }
        for group in self._groups:
            table[f"/apis/{group}"] = _fixed(partial(self._api_group, group))
        for (group, version), served in self._by_version.items():
            path = f"/apis/{group}/{version}" if group else f"/api/{version}"
            table[path] = _fixed(partial(_resource_list, group, version, served))
        return table

    def paths(self) -> list[str]:
        """What `/` lists of these."""
        return sorted(self.table())

    def _root(self, groups: list[str], legacy: Callable[[], Object]) -> Page:
        names = ["" if group == "core" else group for group in groups]

        @cache
        def document(version: str) -> tuple[bytes, str]:
            return _encoded(self._aggregated(names, version))

        plain = cache(legacy)

        async def page(request: Request, query: Query) -> Response:
            for media in accepted(request.headers.joined("accept")):
                if media.name not in ("application/json", "*/*", "application/*"):
                    continue
                version = media.parameters.get("v", "")
                if media.parameters.get("as") == _KIND and media.parameters.get("g") == GROUP and version in _VERSIONS:
                    return _aggregated_answer(request, document(version), version)
                if "as" not in media.parameters:
                    break
            media_type, body = plainly(request.headers.joined("accept"), plain())
            return Response(200, Headers.lowered([("content-type", media_type), ("vary", "Accept")]), body)

        return page

    def _legacy_versions(self) -> Object:
        return {
            "kind": "APIVersions",
            "versions": [version for group, version in self._by_version if not group],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}],
        }

    def _group_list(self) -> Object:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(group) for group in self._groups]}

    def _api_group(self, group: str) -> Object:
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}

    def _group(self, group: str) -> Object:
        versions = [
            {"groupVersion": f"{group}/{version}", "version": version} for g, version in self._by_version if g == group
        ]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _aggregated(self, groups: list[str], version: str) -> Object:
        return {
            "kind": _KIND,
            "apiVersion": f"{GROUP}/{version}",
            "metadata": {},
            "items": [self._group_discovery(group) for group in groups],
        }

    def _group_discovery(self, group: str) -> Object:
        versions = [
            {
                "version": version,
                "resources": [_resource_discovery(one) for one in served if one.facts.verbs],
                "freshness": "Current",
            }
            for (name, version), served in self._by_version.items()
            if name == group
        ]
        return {"metadata": {"name": group} if group else {}, "versions": versions}


def subresources(served: Served) -> list[str]:
    """Those of the facts that this server really answers."""
    own = served.resource.subresources
    return sorted(name for name in served.facts.subresources if name in own or name in _GENERIC)


def _verbs(served: Served) -> list[str]:
    """What may be asked for; of a custom resource whose definition is going nothing that makes or changes."""
    if served.ending:
        return [verb for verb in served.facts.verbs if verb not in ("create", "patch", "update")]
    return list(served.facts.verbs)


def _resource_list(group: str, version: str, served: list[Served]) -> Object:
    rows = []
    for one in served:
        known = one.facts
        row: Object = {
            "name": known.plural,
            "singularName": known.singular,
            "namespaced": known.namespaced,
            "kind": known.kind,
            "verbs": _verbs(one),
        }
        if known.short_names:
            row["shortNames"] = list(known.short_names)
        if known.categories:
            row["categories"] = list(known.categories)
        if known.storage_version_hash:
            row["storageVersionHash"] = known.storage_version_hash
        rows.append(row)
        rows += [_subresource_row(known, name) for name in subresources(one)]
    version_name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version_name, "resources": rows}


def _subresource_row(known: ResourceFacts, name: str) -> Object:
    sub = known.subresources[name]
    row: Object = {
        "name": f"{known.plural}/{name}",
        "singularName": "",
        "namespaced": known.namespaced,
        "kind": sub.gvk.kind,
        "verbs": list(sub.verbs),
    }
    if (sub.gvk.group, sub.gvk.version) != (known.group, known.version):
        row |= {"group": sub.gvk.group, "version": sub.gvk.version}
    return row


def _resource_discovery(served: Served) -> Object:
    known = served.facts
    found: Object = {
        "resource": known.plural,
        "responseKind": _kind(known.group, known.version, known.kind),
        "scope": "Namespaced" if known.namespaced else "Cluster",
        "singularResource": known.singular,
        "verbs": _verbs(served),
    }
    if known.short_names:
        found["shortNames"] = list(known.short_names)
    if known.categories:
        found["categories"] = list(known.categories)
    below = [
        {
            "subresource": name,
            "responseKind": _kind(*_parts(known, name)),
            "verbs": list(known.subresources[name].verbs),
        }
        for name in subresources(served)
    ]
    if below:
        found["subresources"] = below
    return found


def _parts(known: ResourceFacts, name: str) -> tuple[str, str, str]:
    gvk = known.subresources[name].gvk
    return gvk.group, gvk.version, gvk.kind


def _kind(group: str, version: str, kind: str) -> Object:
    return {"group": group, "version": version, "kind": kind}


def _sorted_groups(served: set[str]) -> list[str]:
    """In the order of the facts: upstream's priority of groups is theirs."""
    order = list(dict.fromkeys(known.group for known in facts.resources()))
    return sorted(served, key=lambda group: (order.index(group) if group in order else len(order), group))


def _fixed(make: Callable[[], Object]) -> Page:
    made = cache(make)

    async def page(request: Request, query: Query) -> Response:
        media, body = plainly(request.headers.joined("accept"), made())
        return Response(200, Headers.lowered([("content-type", media)]), body)

    return page


def _encoded(value: Object) -> tuple[bytes, str]:
    body = orjson.dumps(value)
    return body, '"' + hashlib.sha512(body).hexdigest().upper() + '"'


def _aggregated_answer(request: Request, document: tuple[bytes, str], version: str) -> Response:
    body, etag = document
    headers = Headers.lowered(
        [
            ("content-type", f"application/json;g={GROUP};v={version};as={_KIND}"),
            ("etag", etag),
            ("vary", "Accept"),
            ("cache-control", "public"),
        ]
    )
    if request.headers.get("if-none-match") == etag:
        return Response(304, headers)
    return Response(200, headers, body)
