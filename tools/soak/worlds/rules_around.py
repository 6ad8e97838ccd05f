"""Rules of mirrored Endpoints and of tokens in Secrets."""

from collections.abc import Iterable, Iterator, Mapping

from tools.soak.worlds.ledger import REQUEST, Ledger, Life, Obj, Rule, Write
from tools.soak.worlds.pods import is_going, labels_of

MIRRORING = "endpointslice-mirroring-controller"
MANAGED_BY, MIRRORED = "endpointslice.kubernetes.io/managed-by", "endpointslicemirroring-controller.k8s.io"
SERVICE = "kubernetes.io/service-name"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
TOKENS = "serviceaccount-token-controller"
TOKEN = "kubernetes.io/service-account-token"
TOKEN_NAME, TOKEN_UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"


def places(piece: Obj) -> set[tuple[str, int, bool]]:
    """(address, port, ready) of the endpoints of a slice."""
    ports = [port["port"] for port in piece.get("ports") or ()]
    return {
        (address, port, (endpoint.get("conditions") or {}).get("ready") is not False)
        for endpoint in piece.get("endpoints") or () for address in endpoint["addresses"] for port in ports
    }  # fmt: skip


def mirrored_once(ledger: Ledger, write: Write) -> Iterator[str]:
    """No address goes into a slice of a mirror while its writer must know that another one of it has it."""
    by, new = write.by, write.new
    if by.part != MIRRORING or by.late or new is None:
        return
    service, mine = labels_of(new).get(SERVICE), {place[:2] for place in places(new)}

    def has_some(obj: Obj) -> bool:
        same = labels_of(obj).get(SERVICE) == service and labels_of(obj).get(MANAGED_BY) == MIRRORED
        return same and not is_going(obj) and not mine.isdisjoint(place[:2] for place in places(obj))

    for other in ledger.living("EndpointSlice"):
        if (
            other is not write.life
            and other.namespace == write.life.namespace
            and ledger.must_hold(other, by, has_some)
        ):
            yield f"has addresses that {other} has, too"


def mirrors_what_is_there(ledger: Ledger, write: Write) -> Iterator[str]:
    """A mirror has only addresses that its Endpoints may be believed to have."""
    by, new = write.by, write.new
    if by.part != MIRRORING or by.late or new is None:
        return
    name = labels_of(new).get(SERVICE, "")
    states = [
        obj for life in ledger.lives.values()
        if life.kind == "Endpoints" and life.name == name and life.namespace == write.life.namespace
        for obj in ledger.recent(life)
    ]  # fmt: skip
    known = {address["ip"] for obj in states for subset in obj.get("subsets") or ()
             for part in ("addresses", "notReadyAddresses") for address in subset.get(part) or ()}  # fmt: skip
    strangers = {place[0] for place in places(new)} - known
    if strangers:
        yield f"has {sorted(strangers)}, which its Endpoints have not had for a while"


def _asked(secret: Obj) -> tuple[str, str]:
    said = secret["metadata"].get("annotations") or {}
    return said.get(TOKEN_NAME, ""), said.get(TOKEN_UID, "")


def _accounts(ledger: Ledger, secret: Life, obj: Obj) -> list[Life]:
    name, uid = _asked(obj)
    return [
        life for life in ledger.lives.values()
        if life.kind == "ServiceAccount" and life.name == name and life.namespace == secret.namespace
        and uid in ("", life.uid)
    ]  # fmt: skip


def tokens_of_accounts(ledger: Ledger, write: Write) -> Iterator[str]:
    """A Secret gets the token of an account that may be there, and is removed only if that has gone."""
    by = write.by
    if by.part != TOKENS or by.late:
        return
    if write.verb == "update" and write.new is not None:
        if not any(ledger.recent(account) for account in _accounts(ledger, write.life, write.new)):
            yield f"got a token of {_asked(write.new)}, which is gone"
    elif write.asks_deletion and write.old is not None:
        since = ledger.now() - REQUEST
        there = [one for one in _accounts(ledger, write.life, write.old) if one.gone is None]
        if any(one.versions[0].at < since for one in there):
            yield f"removed, though its account {there[0]} is there"


RULES: Mapping[str, Iterable[Rule]] = {
    "EndpointSlice": (mirrored_once, mirrors_what_is_there),
    "Secret": (tokens_of_accounts,),
}
