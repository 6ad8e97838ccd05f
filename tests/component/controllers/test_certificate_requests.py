"""CertificateSigningRequests: what does not fit its signer fails in upstream's words, what is signed is what was asked for,
and what is done with goes. Rows of upstream's signer_test, policies_test, helpers_test and cleaner_test.
"""

import base64
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from tests.component.controllers.world import World, controllers, simulated, world

from pybernetes.aio.clock import rfc3339
from pybernetes.api.objects import Key
from pybernetes.controllers._certificates import CSR
from pybernetes.controllers.runtime import Config
from pybernetes.wire.pki.certificates import BACKDATE, new_authority, parse_certificate
from pybernetes.wire.pki.keys import new_key

CLIENT, SERVING = "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"
USER = "kubernetes.io/kube-apiserver-client"
NODE = {NameOID.ORGANIZATION_NAME: "system:nodes", NameOID.COMMON_NAME: "system:node:node-1"}
KEYS = ["digital signature", "key encipherment"]
MAIL, URI, HOST = x509.RFC822Name("a@example.com"), x509.UniformResourceIdentifier("spiffe://x"), x509.DNSName("node-1")
ADDRESS = x509.IPAddress(ip_address("198.18.1.1"))


def request(subject: dict[Any, str], *names: x509.GeneralName) -> str:
    attributes = [x509.NameAttribute(oid, value) for oid, value in subject.items()]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return base64.b64encode(builder.sign(new_key(), SHA256()).public_bytes(Encoding.PEM)).decode()


async def ask(w: World, signer: str, usages: list[str], asked: str, **more: Any) -> None:
    spec = {"request": asked, "signerName": signer, "usages": usages, **more}
    await w.create(CSR, "csr", "", spec=spec)


async def say(w: World, kind: str, ago: float = 0.0) -> None:
    """A condition, said so long ago."""
    csr, stamp = await w.get(CSR, "csr", ""), rfc3339(w.clock.now() - ago)
    made = {"type": kind, "status": "True", "reason": "Me", "lastUpdateTime": stamp}
    old = msgspec.to_builtins(csr.status.conditions)
    part = "status" if kind == "Failed" else "approval"
    body = {"status": {"conditions": [*old, made]}}
    await w.client.of(CSR).patch_raw(Key("", "csr"), body, subresource=part)
    await w.clock.sleep(1)


@pytest.mark.parametrize(
    ("signer", "usages", "subject", "names", "why"),
    [
        (CLIENT, [*KEYS, "client auth"], NODE | {NameOID.ORGANIZATION_NAME: "x"}, (), "subject organization is not system:nodes"),
        (CLIENT, [*KEYS, "client auth"], NODE, (HOST,), "DNS subjectAltNames are not allowed"),
        (CLIENT, [*KEYS, "client auth"], NODE, (MAIL,), "Email subjectAltNames are not allowed"),
        (CLIENT, [*KEYS, "client auth"], NODE, (ADDRESS,), "IP subjectAltNames are not allowed"),
        (CLIENT, [*KEYS, "client auth"], NODE, (URI,), "URI subjectAltNames are not allowed"),
        (CLIENT, [*KEYS, "client auth"], NODE | {NameOID.COMMON_NAME: "mike"}, (),
         "subject common name does not begin with system:node:"),
        (CLIENT, [*KEYS, "client auth", "server auth"], NODE, (),
         "usages did not match [client auth digital signature key encipherment]"),
        (SERVING, [*KEYS, "server auth"], NODE, (), "DNS or IP subjectAltName is required"),
        (SERVING, [*KEYS, "server auth"], NODE, (HOST, MAIL), "Email subjectAltNames are not allowed"),
        (SERVING, [*KEYS, "server auth"], NODE, (HOST, URI), "URI subjectAltNames are not allowed"),
        (SERVING, [*KEYS, "client auth"], NODE, (HOST,),
         "usages did not match [digital signature key encipherment server auth]"),
        (USER, [*KEYS, "client auth", "server auth"], NODE, (), "invalid usage for client certificate: server auth"),
        (USER, KEYS, NODE, (), "missing required usage for client certificate: client auth"),
    ],
)  # fmt: skip
def test_what_does_not_fit_its_signer_says_why(
    signer: str, usages: list[str], subject: dict[Any, str], names: tuple[x509.GeneralName, ...], why: str
) -> None:
    @simulated
    async def play() -> None:
        async with world(nodes=0) as w:
            await ask(w, signer, usages, request(subject, *names))
            await say(w, "Approved")
            csr = await w.get(CSR, "csr", "")
            (failed,) = [c for c in csr.status.conditions if c.type == "Failed"]
            assert (failed.status, failed.reason, failed.message) == ("True", "SignerValidationFailure", why)
            assert not csr.status.certificate

    play()


async def signed(w: World) -> x509.Certificate:
    await say(w, "Approved")
    return parse_certificate(base64.b64decode((await w.get(CSR, "csr", "")).status.certificate))


@simulated
async def test_a_certificate_has_the_whole_subject_all_names_and_the_usages_that_were_asked_for():
    async with world(nodes=0) as w:
        subject = {NameOID.COUNTRY_NAME: "DE", NameOID.ORGANIZATIONAL_UNIT_NAME: "ops", NameOID.COMMON_NAME: "jane"}
        await ask(w, USER, ["client auth", "digital signature"], request(subject, HOST, ADDRESS, MAIL, URI))
        found = await signed(w)
        assert found.subject.rfc4514_string() == "CN=jane,OU=ops,C=DE"
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert set(names) == {HOST, ADDRESS, MAIL, URI}
        usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, False, False)


@simulated
async def test_a_certificate_without_usages_of_its_key_says_nothing_of_them():
    async with world(nodes=0) as w:
        await ask(w, USER, ["client auth"], request({NameOID.COMMON_NAME: "jane"}))
        found = await signed(w)
        with pytest.raises(x509.ExtensionNotFound):
            found.extensions.get_extension_for_class(x509.KeyUsage)


@pytest.mark.parametrize(("hours", "after"), [(7, timedelta(hours=7)), (9, timedelta(hours=9) - BACKDATE)])
def test_only_a_short_life_is_counted_from_now(hours: int, after: timedelta) -> None:
    @simulated
    async def play() -> None:
        async with world(nodes=0) as w:
            await ask(w, USER, ["client auth"], request({NameOID.COMMON_NAME: "j"}), expirationSeconds=hours * 3600)
            found = await signed(w)
            assert found.not_valid_after_utc - found.not_valid_before_utc == after + BACKDATE

    play()


@simulated
async def test_an_authority_whose_time_is_over_signs_nothing():
    async with world(nodes=0, only=("*", "-csrsigning")) as w:
        old = new_authority("kubernetes", w.clock.now() - 3600, timedelta(seconds=3500))
        running = controllers(w, "csrsigning", config=Config(signing_authority=lambda signer: old))
        await ask(w, USER, ["client auth"], request({NameOID.COMMON_NAME: "jane"}))
        await say(w, "Approved")
        await w.clock.sleep(10)
        csr = await w.get(CSR, "csr", "")
        assert not csr.status.certificate
        assert [c.type for c in csr.status.conditions] == ["Approved"]
        running.cancel()


@pytest.mark.parametrize(
    ("said", "wait", "goes"),
    [
        ([("Denied", 3000.0)], 500.0, False),
        ([("Denied", 3000.0)], 700.0, True),
        ([("Approved", 7200.0), ("Failed", 3000.0)], 500.0, False),
        ([("Approved", 7200.0), ("Failed", 3000.0)], 700.0, True),
        ([("Approved", 7200.0)], 90000.0, False),
        ([], 80000.0, False),
        ([], 87000.0, True),
    ],
    ids=["denied", "denied long", "failed", "failed long", "waits for its signer", "pending", "pending long"],
)
def test_a_request_goes_when_it_is_done_with(said: list[tuple[str, float]], wait: float, *, goes: bool) -> None:
    @simulated
    async def play() -> None:
        async with world(nodes=0, only=("*", "-csrsigning")) as w:
            await ask(w, USER, ["client auth"], request({NameOID.COMMON_NAME: "jane"}))
            for kind, ago in said:
                await say(w, kind, ago)
            await w.clock.sleep(wait)
            assert await w.there(CSR, "csr", "") is not goes

    play()


@simulated
async def test_an_issued_request_goes_an_hour_after_its_approval():
    async with world(nodes=0) as w:
        await ask(w, USER, ["client auth"], request({NameOID.COMMON_NAME: "jane"}))
        await say(w, "Approved")
        await w.clock.sleep(3500)
        assert await w.there(CSR, "csr", "")
        await w.clock.sleep(200)
        assert not await w.there(CSR, "csr", "")
