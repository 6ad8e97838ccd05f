"""OpenID discovery of the ServiceAccount issuer: where others find the keys that check our tokens (KEP-1393)."""

from collections.abc import Sequence

from pybernetes.apiserver.options import Query
from pybernetes.apiserver.pages import Page, json_page
from pybernetes.wire.http import Request, Response
from pybernetes.wire.pki.jwks import algorithm, jwks
from pybernetes.wire.pki.keys import PublicKey

JWKS_PATH = "/openid/v1/jwks"


def table(issuer: str, address: str, keys: Sequence[PublicKey]) -> dict[str, Page]:
    """Path to page; none where no tokens are known or the issuer is no URL."""
    if not keys or not issuer.startswith("https://"):
        return {}
    document = {
        "issuer": issuer,
        "jwks_uri": f"https://{address}{JWKS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({algorithm(key) for key in keys}),
    }
    key_set = jwks(keys)

    async def configuration(request: Request, query: Query) -> Response:
        return _public(json_page(document))

    async def key_page(request: Request, query: Query) -> Response:
        return _public(json_page(key_set, "application/jwk-set+json"))

    return {"/.well-known/openid-configuration": configuration, JWKS_PATH: key_page}


def _public(response: Response) -> Response:
    """Whoever fetches it may keep it for an hour."""
    response.headers.add("cache-control", "public, max-age=3600")
    return response
