"""ApiServer: puts the parts of one API server together and runs them. cmd/kube_apiserver.py and assembly start it.

`handler` is the whole pipeline: given to HttpServer it serves sockets, given to client.transport.direct it serves the
same process.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from pybernetes.aio.clock import Clock
from pybernetes.api import errors
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver import (
    bootstrap,
    default_service_cidr,
    identity,
    kubernetes_service,
    legacy_tokens,
    local_apiservices,
    oidc,
    service_claims,
    upkeep,
)
from pybernetes.apiserver.admit import chosen
from pybernetes.apiserver.authn.certificates import CertificateAuthenticator
from pybernetes.apiserver.authn.chain import AuthenticatorChain
from pybernetes.apiserver.authn.service_accounts import ServiceAccountAuthenticator, Signer
from pybernetes.apiserver.authn.tokens import BootstrapTokens, StaticTokens
from pybernetes.apiserver.authz.always import AlwaysAllow, AlwaysDeny
from pybernetes.apiserver.authz.chain import AuthorizerChain
from pybernetes.apiserver.authz.node import NodeAuthorizer
from pybernetes.apiserver.authz.rbac import Rbac
from pybernetes.apiserver.catalog import Catalog, discovered
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.connect import Kubelets
from pybernetes.apiserver.crd.establishing import Definitions
from pybernetes.apiserver.discovery import Discovery
from pybernetes.apiserver.extension import Authenticator, Authorizer
from pybernetes.apiserver.flowcontrol import dumps, figures
from pybernetes.apiserver.flowcontrol.estimator import estimator
from pybernetes.apiserver.flowcontrol.filter import Filter, MaxInFlight
from pybernetes.apiserver.flowcontrol.objects import keep as keep_flow_control
from pybernetes.apiserver.flowcontrol.priority_and_fairness import PriorityAndFairness
from pybernetes.apiserver.flowcontrol.status import StatusKeeper
from pybernetes.apiserver.flowcontrol.work import Estimator
from pybernetes.apiserver.gauges import gauges
from pybernetes.apiserver.handlers import Handlers
from pybernetes.apiserver.metrics import Metrics
from pybernetes.apiserver.openapi.documents import OpenApi
from pybernetes.apiserver.pages import Page, Pages, with_index
from pybernetes.apiserver.pipeline import Pipeline
from pybernetes.apiserver.service_addresses import ServiceAddresses
from pybernetes.apiserver.storage import Storage, Tools
from pybernetes.apiserver.superusers import Superusers
from pybernetes.apiserver.tokens import ContinueTokens
from pybernetes.apiserver.usage.scraper import Scraper
from pybernetes.apiserver.usage.served import served as usage_served
from pybernetes.apiserver.watchcache.cache import WatchCache
from pybernetes.store.protocol import Store
from pybernetes.wire.http import Handler, Request, Response
from pybernetes.wire.parsing import status_response
from pybernetes.wire.pki.jwks import key_id
from pybernetes.wire.pki.keys import PublicKey, key_pem

log = logging.getLogger(__name__)

_DEFINITIONS = "crd-informer-synced"
_HOOKS = (_DEFINITIONS, *bootstrap.STEPS)
_FAIRNESS = ("priority-and-fairness-config-consumer", "priority-and-fairness-filter")
_EVENTS = (GroupResource("", "events"), GroupResource("events.k8s.io", "events"))
START_SECONDS = 10.0
"""How long a request waits for a server that is still loading its store."""
DEPART_SECONDS = 2.0
"""How long a server that goes may need to say so."""
_ALWAYS = ("/healthz", "/livez", "/readyz", "/metrics", "/version")


class ApiServer:
    """One API server on one store. run() until cancelled; `ready` is set once it answers."""

    def __init__(self, config: Config, store: Store, clock: Clock, catalog: Catalog | None = None) -> None:
        self.config = config
        self.clock = clock
        self.catalog = catalog or discovered()
        self.cache = WatchCache(store, self.catalog)
        self.ready = asyncio.Event()
        self._leaving = False
        self._service: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()
        self.started: set[str] = set()
        """The steps of the start that are done, as /readyz names them."""
        audiences = config.audiences or (config.issuer,)
        addresses = ServiceAddresses(clock.random, config.service_networks, config.node_ports)
        signer = Signer(config.signing_key, config.issuer, audiences) if config.signing_key else None
        self._kubelets = Kubelets(config.kubelet_tls)
        rbac, node = Rbac(), NodeAuthorizer()
        known = self._authenticators(audiences)
        self.authenticator = authenticator = AuthenticatorChain(known, anonymous=config.anonymous, audiences=audiences)
        """Says who asks; what stands before the server may ask it first (wire.http.Peer.user)."""
        authorizer = AuthorizerChain(_authorizers(config, rbac, node))
        lifetimes = {gr: config.times.event for gr in _EVENTS}
        tools = Tools(addresses, signer, config.kubelets or self._kubelets, authenticator, authorizer, rbac, lifetimes)
        self.storage = Storage(self.catalog, store, self.cache, clock, tools)
        self._definitions = Definitions(self.storage)
        self._definitions.follow()
        self.catalog.caught_up = self._definitions.caught_up
        rbac.follow(self.storage)
        node.follow(self.storage)
        self._usage = Scraper(self.storage)
        for versions in usage_served(self._usage):
            self.catalog.put(versions)
        self._claims = service_claims.attach(self.storage)
        admission = chosen(
            self.storage, config.enable_admission, config.disable_admission, config.admission_configuration
        )
        secret = key_pem(config.signing_key) if config.signing_key else clock.random.randbytes(32)
        self.handlers = Handlers(self.catalog, self.storage, admission, ContinueTokens(secret), config.times.watch)
        metrics = Metrics()
        metrics.lines += [one.figures.lines for one in known if isinstance(one, ServiceAccountAuthenticator)]
        metrics.gauges += gauges(self.cache)
        self._fairness = _fairness(config, clock, estimator(self.catalog, self.cache))
        filter = self._fairness or _in_flight(config, clock)
        metrics.gauges += figures.in_flight(filter)
        hooks = _HOOKS
        if self._fairness is not None:
            hooks = (*_HOOKS, *_FAIRNESS)
            self._fairness.follow(self.storage)
            metrics.gauges += figures.gauges(self._fairness)
            metrics.lines.append(partial(figures.histograms, self._fairness))
        self._fixed = Pages(
            metrics,
            live={
                "ping": lambda: "",
                "log": lambda: "",
                "etcd": self._store_fault,
                **{f"poststarthook/{name}": partial(self._start_fault, name) for name in hooks},
            },
            ready={
                "etcd-readiness": self._store_fault,
                "informer-sync": lambda: "" if self.cache.revision else "the store is not loaded",
                "shutdown": lambda: "process is shutting down" if self._leaving else "",
            },
        )
        self._openapi = OpenApi(self.catalog)
        self._pages: tuple[int, Mapping[str, Page]] = (-1, {})
        self._pipeline = Pipeline(
            authenticator=authenticator,
            authorizer=authorizer,
            filter=filter,
            handlers=self.handlers,
            pages=self._current_pages,
            metrics=metrics,
        )

    def _current_pages(self) -> Mapping[str, Page]:
        """Every path that is no resource; made anew when resources have come or gone."""
        if self._pages[0] != self.catalog.changes:
            config = self.config
            address = f"{config.advertise_address}:{config.secure_port}"
            table = {
                **self._fixed.table(),
                **(dumps.table(self._fairness, self.clock) if self._fairness is not None else {}),
                **Discovery(self.catalog, address).table(),
                **self._openapi.table(),
                **oidc.table(config.issuer, address, _keys(config)),
            }
            self._pages = (self.catalog.changes, with_index(table))
        return self._pages[1]

    @property
    def handler(self) -> Handler:
        """What answers requests: the pipeline, once the server has loaded."""
        return self._answer

    def _answer(self, request: Request) -> Awaitable[Response]:
        return self._pipeline(request) if self._loaded.is_set() else self._loading(request)

    async def _loading(self, request: Request) -> Response:
        """Until it has loaded, the server must say neither "forbidden" nor "not found": clients act on both."""
        if not request.path.startswith(_ALWAYS):
            try:
                async with asyncio.timeout(START_SECONDS):
                    await self._loaded.wait()
            except TimeoutError:
                error = errors.ServiceUnavailable("the server is starting", details={"retryAfterSeconds": 1})
                return status_response(error)
        return await self._pipeline(request)

    async def run(self) -> None:
        """Loads the cache, creates what every cluster has, then serves until cancelled."""
        try:
            await self.cache.open()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.cache.run(), name="apiserver.cache")
                await self._definitions.load()
                group.create_task(self._definitions.run(), name="apiserver.definitions")
                group.create_task(self.handlers.reads.bookmarks(), name="apiserver.bookmarks")
                self.started.add(_DEFINITIONS)
                await bootstrap.prepare(self.storage, self.config, self.started.add)
                if self._claims is not None:
                    group.create_task(self._claims.run(), name="apiserver.claims")
                service = kubernetes_service.keep(self.storage, self.config)
                self._service = group.create_task(service, name="apiserver.service")
                group.create_task(default_service_cidr.keep(self.storage, self.config), name="apiserver.servicecidr")
                group.create_task(keep_flow_control(self.storage), name="apiserver.flowcontrol")
                if self.config.identity:
                    own = identity.keep(self.storage, self.config.identity)
                    group.create_task(own, name="apiserver.identity")
                if self.config.legacy_token_tracking:
                    group.create_task(legacy_tokens.keep(self.storage), name="apiserver.legacytokens")
                if self._fairness is not None:
                    group.create_task(self._fairness.run(), name="apiserver.fairness")
                    group.create_task(StatusKeeper(self._fairness, self.storage).run(), name="apiserver.flowschemas")
                    self.started.update(_FAIRNESS)
                group.create_task(local_apiservices.keep(self.storage, self.catalog), name="apiserver.apiservices")
                group.create_task(self._usage.run(), name="apiserver.usage")
                group.create_task(
                    upkeep.compact(self.storage, self.config.times.compaction, self.config.history_limit),
                    name="apiserver.compact",
                )
                self._loaded.set()
                self.ready.set()
                log.info("api server is ready revision=%d", self.cache.revision)
        finally:
            self.ready.clear()
            self.cache.end()
            self.handlers.close()
            self.cache.close()
            await self._kubelets.aclose()

    @property
    def settled(self) -> bool:
        """Whether all stored CustomResourceDefinitions are served as they say."""
        return self._definitions.settled

    def leave(self) -> None:
        """Tells /readyz that this server goes, so that nobody new is sent here; requests are still answered."""
        self._leaving = True

    async def depart(self) -> None:
        """Takes this server out of the Service `kubernetes` where others stay in it."""
        if self._service is None:
            return
        self._service.cancel()
        try:
            async with asyncio.timeout(DEPART_SECONDS):
                await kubernetes_service.leave(self.storage, self.config)
        except (errors.ApiError, TimeoutError) as error:
            log.warning("server stays in service kubernetes until its time is over cause=%s", error)

    def end_watches(self) -> None:
        """Ends every stream of changes as if its time were over: clients go on elsewhere."""
        self.cache.end()

    def look(self, resource: GroupResource, namespace: str, name: str) -> Object | None:
        """As Registry.look: authenticators are made before there is a storage."""
        return self.storage.look(resource, namespace, name)

    async def fresh(self) -> None:
        """As Storage.fresh()."""
        await self.storage.fresh()

    async def update(
        self, resource: GroupResource, namespace: str, name: str, change: Callable[[Object], Object | None]
    ) -> Object:
        """As Registry.update."""
        return await self.storage.update(resource, namespace, name, change)

    def _store_fault(self) -> str:
        return self.storage.store.fault() if self.cache.revision else "the store is not loaded"

    def _start_fault(self, hook: str) -> str:
        return "" if hook in self.started else "not finished"

    def _authenticators(self, audiences: Sequence[str]) -> list[Authenticator]:
        config, found = self.config, list[Authenticator]()
        found.append(CertificateAuthenticator(self.clock))
        if config.static_tokens:
            found.append(StaticTokens(config.static_tokens))
        keys = _keys(config)
        if keys:
            found.append(ServiceAccountAuthenticator(keys, config.issuer, audiences, self, self.clock))
        if config.bootstrap_tokens:
            found.append(BootstrapTokens(self.look, self.clock))
        return found


def _keys(config: Config) -> list[PublicKey]:
    """Every key that ServiceAccount tokens may be signed with, each once."""
    keys = list(config.verifying_keys)
    if config.signing_key is not None:
        keys.append(config.signing_key.public_key())
    return list({key_id(key): key for key in keys}.values())


def _fairness(config: Config, clock: Clock, work: Estimator) -> PriorityAndFairness | None:
    limits = config.in_flight
    if not limits.fair:
        return None
    return PriorityAndFairness(clock, config.times.request, limits.reading + limits.mutating, work)


def _in_flight(config: Config, clock: Clock) -> Filter:
    return MaxInFlight(clock, config.times.request, config.in_flight.reading, config.in_flight.mutating)


class UnknownModeError(ValueError):
    """--authorization-mode names one that is not there."""


def _authorizers(config: Config, rbac: Rbac, node: NodeAuthorizer) -> list[Authorizer]:
    """In the order of the flag. Raises UnknownModeError."""
    known: dict[str, Authorizer] = {
        "Node": node,
        "RBAC": rbac,
        "AlwaysAllow": AlwaysAllow(),
        "AlwaysDeny": AlwaysDeny(),
    }
    for mode in config.authorization_modes:
        if mode not in known:
            raise UnknownModeError(f'there is no authorization mode "{mode}"; known: {", ".join(known)}')
    return [Superusers(), *(known[mode] for mode in config.authorization_modes)]
