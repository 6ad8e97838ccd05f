"""What flags may narrow a server's TLS to."""

import ssl

import pytest

from pybernetes.wire.tls import restrict


def narrowed(least: str = "", *suites: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    restrict(context, least, suites)
    return context


@pytest.mark.parametrize(
    ("least", "version"),
    [
        ("", ssl.TLSVersion.TLSv1_2),
        ("VersionTLS10", ssl.TLSVersion.TLSv1_2),
        ("VersionTLS12", ssl.TLSVersion.TLSv1_2),
        ("VersionTLS13", ssl.TLSVersion.TLSv1_3),
    ],
)
def test_old_versions_stay_off(least: str, version: ssl.TLSVersion) -> None:
    assert narrowed(least).minimum_version == version


def test_suites_have_upstreams_names() -> None:
    context = narrowed("", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")
    chosen = {one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"}
    assert chosen == {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"}
    assert narrowed("", "TLS_AES_128_GCM_SHA256").minimum_version == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("words", [("VersionSSL3",), ("", "TLS_RSA_WITH_RC4_128_SHA")])
def test_unknown_names_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=words[-1]):
        narrowed(*words)
