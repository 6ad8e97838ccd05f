"""Estimator: what work.py must know of a resource, from the catalog and the watch cache."""

from pybernetes.api.errors import NotFound
from pybernetes.apiserver.catalog import Catalog
from pybernetes.apiserver.flowcontrol.work import Estimator, Stored
from pybernetes.apiserver.requestinfo import RequestInfo
from pybernetes.apiserver.watchcache.cache import WatchCache
from pybernetes.apiserver.watchcache.resource_cache import ResourceCache


def estimator(catalog: Catalog, cache: WatchCache) -> Estimator:
    """Of one server."""

    def found(info: RequestInfo) -> ResourceCache | None:
        served = catalog.find(info.group, info.version, info.resource)
        if served is None:
            return None
        try:
            return cache.of(served)
        except NotFound:
            return None  # what is made when it is read, or goes with its definition

    def stored(info: RequestInfo) -> Stored | None:
        one = found(info)
        return Stored(len(one.entries), one.size) if one is not None else None

    def watchers(info: RequestInfo) -> int:
        one = found(info)
        return one.interested(info.namespace, info.name) if one is not None and one.watchers else 0

    return Estimator(stored, watchers)
