"""Certificates of Pods: upstream's test/e2e/auth/projected_podcertificate.go. The signer is the test itself."""

import asyncio
import base64
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.node.conformance.pods import entry, mount, pod, shell

FEATURE = (
    "[sig-auth] Projected PodCertificate [FeatureGate:PodCertificateRequest] [FeatureGate:ClusterTrustBundle] "
    "[FeatureGate:ClusterTrustBundleProjection] "
)
TAGS = " [MinimumKubeletVersion:1.37] [Conformance]"
API = "/apis/certificates.k8s.io/v1"
PATH = "test.test/spiffe-path"


class Signer:
    """Issues what the kubelets of one namespace ask of `name`; `authority` is its certificate in PEM."""

    def __init__(self, space) -> None:
        self.name = f"test.test/{space.name}"
        self._space = space
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
        now = datetime.now(UTC)
        made = self._builder(self._subject, self._key.public_key(), now, timedelta(days=1))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.authority = self._signed(made)

    def _builder(self, subject: x509.Name, key, since: datetime, lifetime: timedelta) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._subject).public_key(key)
        made = made.serial_number(x509.random_serial_number())
        return made.not_valid_before(since).not_valid_after(since + lifetime)

    def _signed(self, made: x509.CertificateBuilder) -> str:
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    async def run(self) -> None:
        """Signs each request as it comes, until cancelled."""
        path = self._space.path("podcertificaterequests", group=API)
        listed = await self._space.api.ok("GET", path)
        events = await self._space.api.watch(f"{path}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}")
        try:
            while True:
                kind, request = await events.next()
                if kind == "ADDED" and request["spec"]["signerName"] == self.name:
                    await self._issue(f"{path}/{request['metadata']['name']}/status", request)
        finally:
            await events.close()

    async def _issue(self, path: str, request: dict) -> None:
        spec = request["spec"]
        asked = x509.load_der_x509_csr(base64.b64decode(spec["stubPKCS10Request"]))
        assert asked.is_signature_valid
        since = datetime.now(UTC).replace(microsecond=0)
        lifetime = timedelta(seconds=spec["maxExpirationSeconds"])
        who = spec.get("unverifiedUserAnnotations", {}).get(
            PATH, f"/ns/{self._space.name}/sa/{spec['serviceAccountName']}"
        )
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://cluster.local{who}")])
        made = self._builder(x509.Name([]), asked.public_key(), since, lifetime)
        made = made.add_extension(names, critical=True)
        usages = [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        told = {"type": "Issued", "status": "True", "reason": "Test", "message": "", "lastTransitionTime": _time(since)}
        status = {
            "conditions": [told],
            "certificateChain": self._signed(made),
            "notBefore": _time(since),
            "beginRefreshAt": _time(since + lifetime / 2),
            "notAfter": _time(since + lifetime),
        }
        await self._space.api.ok("PATCH", path, {"status": status})


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.asynccontextmanager
async def signing(space) -> AsyncIterator[Signer]:
    signer = Signer(space)
    task = asyncio.create_task(signer.run())
    try:
        await asyncio.sleep(0)
        yield signer
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _source(signer: str, **fields) -> dict:
    given = {"signerName": signer, "keyType": "ECDSAP256", "credentialBundlePath": "bundle.pem", **fields}
    return {"podCertificate": given}


async def _bundle(space, name: str, *sources: dict) -> str:
    """What the Pod has in its files, key first."""
    one = shell("cat /v/bundle.pem", volumeMounts=[mount("/v")])
    return await space.output(pod(name, one, volumes=[{"name": "v", "projected": {"sources": list(sources)}}]))


def _leaf(bundle: str) -> x509.Certificate:
    key = serialization.load_pem_private_key(bundle.encode(), None)
    leaf = x509.load_pem_x509_certificates(bundle[bundle.index("-----BEGIN CERTIFICATE") :].encode())[0]
    assert key.public_key() == leaf.public_key()
    return leaf


LIMITS = f"{FEATURE}MaxExpirationSeconds validations should "


@pytest.mark.parametrize(
    ("seconds", "lifetime"),
    [
        entry(
            f"{LIMITS}issue certificate with default life time (24h) when MaxExpirationSeconds is not set{TAGS}",
            None,
            24,
            id="a day",
        ),
        entry(
            f"{LIMITS}issue certificate with specified duration (1h) when MaxExpirationSeconds is set{TAGS}",
            3600,
            1,
            id="an hour",
        ),
    ],
)
async def test_a_certificate_lives_as_long_as_the_pod_asks(space, seconds, lifetime):
    async with signing(space) as signer:
        given = {"maxExpirationSeconds": seconds} if seconds else {}
        leaf = _leaf(await _bundle(space, "p", _source(signer.name, **given)))
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(hours=lifetime)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        entry(
            f"{LIMITS}reject pod creation when MaxExpirationSeconds exceeds maximum (91d){TAGS}",
            7862401,
            "if provided, maxExpirationSeconds must be <= 7862400",
            id="too long",
        ),
        entry(
            f"{LIMITS}reject pod creation when MaxExpirationSeconds is less than minimum (1h){TAGS}",
            3599,
            "if provided, maxExpirationSeconds must be >= 3600",
            id="too short",
        ),
    ],
)
async def test_a_certificate_lives_neither_too_long_nor_too_short(space, seconds, text):
    shown = {"name": "v", "projected": {"sources": [_source("test.test/any", maxExpirationSeconds=seconds)]}}
    faults = await space.api.faults("POST", space.path("pods"), pod("p", volumes=[shown]))
    assert any(text in fault for fault in faults), faults


@pytest.mark.conformance(f"{FEATURE}should honor UserAnnotations for SPIFFE URI path{TAGS}")
async def test_a_signer_is_told_what_the_pod_wishes(space):
    async with signing(space) as signer:
        leaf = _leaf(await _bundle(space, "p", _source(signer.name, userAnnotations={PATH: "/custom/path"})))
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://cluster.local/custom/path"]


@pytest.mark.conformance(f"{FEATURE}should allow server and client pods to establish an mTLS connection{TAGS}")
async def test_pods_trust_each_other_by_their_files(space):
    """Handshake with what both Pods were given, trust included: the images here have no TLS of their own."""
    async with signing(space) as signer:
        name = f"{signer.name.replace('/', ':')}:root"
        spec = {"signerName": signer.name, "trustBundle": signer.authority}
        await space.api.made(f"{API}/clustertrustbundles", {"metadata": {"name": name}, "spec": spec})
        try:
            await space.settled()
            trust = {"clusterTrustBundle": {"path": "trust.pem", "signerName": signer.name, "labelSelector": {}}}
            sides = {}
            for side in ("server", "client"):
                one = shell("cat /v/bundle.pem; echo =; cat /v/trust.pem", volumeMounts=[mount("/v")])
                sources = [_source(signer.name), trust]
                made = pod(side, one, volumes=[{"name": "v", "projected": {"sources": sources}}])
                sides[side] = (await space.output(made)).split("=\n-----BEGIN CERTIFICATE", 1)
        finally:
            await space.api.ok("DELETE", f"{API}/clustertrustbundles/{name}")
    names = _shake(*(_context(side, *text) for side, text in sides.items()))
    assert ("URI", f"spiffe://cluster.local/ns/{space.name}/sa/default") in names


def _context(side: str, bundle: str, trust: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if side == "server" else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=f"-----BEGIN CERTIFICATE{trust}")
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(bundle)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _shake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple:
    """The client's names, as the server has verified them."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_side=False),
    ]
    for _ in range(6):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    found = ends[0].getpeercert()
    assert found is not None
    return found["subjectAltName"]
