"""Signing requests, trust bundles, certificates of Pods, APIServices and migrations."""

import base64
import time
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from pybernetes.aio.clock import rfc3339
from pybernetes.api.objects import User
from pybernetes.wire.pki.certificates import Leaf, certificate_pem, new_authority, new_request, sign
from pybernetes.wire.pki.keys import new_key

GROUP = "/apis/certificates.k8s.io/v1"
CSRS = f"{GROUP}/certificatesigningrequests"
BUNDLES = f"{GROUP}/clustertrustbundles"
PODS = f"{GROUP}/namespaces/default/podcertificaterequests"
MIGRATIONS = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CA = new_authority("ca", time.time())
BOB = User("bob", groups=("system:authenticated",))


def paths(faults):
    return [fault.partition(": ")[0] for fault in faults]


def b64(data):
    return base64.b64encode(data).decode()


def csr(**more):
    spec = {
        "request": b64(new_request("bob", (), (), new_key())),
        "signerName": "example.com/s",
        "usages": ["client auth"],
    }
    return {"metadata": {"name": "c"}, "spec": spec | more}


async def test_a_request_names_its_signer_and_its_usages_once(api):
    bad = csr(signerName="Example/a_b", usages=["client auth", "client auth", "flying"], expirationSeconds=599)
    found = await api.faults("POST", CSRS, bad)
    assert paths(found) == ["spec.usages[2]", "spec.usages[1]", *["spec.signerName"] * 3, "spec.expirationSeconds"]
    assert 'spec.usages[1]: Duplicate value: "client auth"' in found
    assert any('validating label "a_b": a lowercase RFC 1123 subdomain' in fault for fault in found)
    assert await api.faults("POST", CSRS, csr(signerName="kubernetes.io/legacy-unknown", request=b64(b"x"))) == [
        'spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST',
        'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API '
        "version",
    ]
    assert await api.faults("POST", CSRS, csr(signerName="a")) == [
        'spec.signerName: Invalid value: "a": must be a fully qualified domain and path of the form '
        "'example.com/signer-name'"
    ]


async def test_a_key_of_any_kind_without_a_name_may_be_certified(api):
    nameless = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(new_key(), SHA256())
    await api.made(CSRS, csr(request=b64(nameless.public_bytes(Encoding.PEM))))


async def test_verdicts_come_through_approval_and_stay(api):
    made = await api.made(CSRS, csr())
    approved = {"type": "Approved", "status": "True", "reason": "r"}
    made["status"] = {"conditions": [approved]}
    found = await api.faults("PUT", f"{CSRS}/c/status", made)
    assert found == ['status.conditions: Forbidden: updates may not add a condition of type "Approved"']
    both = [approved, {"type": "Denied", "status": "False"}, {"type": "", "status": ""}, approved]
    found = await api.faults("PUT", f"{CSRS}/c/approval", made | {"status": {"conditions": both}})
    assert found == [
        'status.conditions[1].status: Unsupported value: "False": supported values: "True"',
        'status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
        "status.conditions[2].type: Required value",
        "status.conditions[2].status: Required value",
        'status.conditions[3].type: Invalid value: "Approved": Approved and Denied conditions are mutually exclusive',
        'status.conditions[3].type: Duplicate value: "Approved"',
    ]
    code, done = await api("PATCH", f"{CSRS}/c/approval", {"status": {"conditions": [approved]}})
    assert code == 200, done
    (condition,) = done["status"]["conditions"]
    assert condition["lastUpdateTime"]
    assert condition["lastTransitionTime"]
    assert (await api("GET", f"{CSRS}/c/approval"))[1] == done
    failed = {"type": "Failed", "status": "True"}
    done["status"] = {"conditions": [failed], "certificate": b64(b"x")}
    assert await api.faults("PUT", f"{CSRS}/c/status", done) == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"',
        'status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block',
    ]
    done["status"] = {"conditions": [approved | {"reason": "other"}], "certificate": b64(CA.pem)}
    _, signed = await api("PUT", f"{CSRS}/c/status", done)
    assert signed["status"]["conditions"] == [condition]
    signed["status"]["certificate"] = b64(CA.pem * 2)
    assert await api.faults("PUT", f"{CSRS}/c/status", signed) == [
        "status.certificate: Forbidden: updates may not modify existing certificate content"
    ]
    (row,) = await api.table(CSRS)
    assert row["Condition"] == "Approved,Issued"


async def test_a_dry_run_approves_nothing(api):
    await api.made(CSRS, csr())
    approved = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    code, answer = await api("PATCH", f"{CSRS}/c/approval?dryRun=All", approved)
    assert (code, len(answer["status"]["conditions"])) == (200, 1)
    assert (await api("GET", f"{CSRS}/c"))[1]["status"] == {}


def bundle(name="b", signer="", text=None):
    spec = {"trustBundle": CA.pem.decode() if text is None else text} | ({"signerName": signer} if signer else {})
    return {"metadata": {"name": name}, "spec": spec}


async def test_a_trust_bundle_is_named_after_its_signer(api):
    await api.made(BUNDLES, bundle())
    made = await api.made(BUNDLES, bundle("example.com:s:x", "example.com/s"))
    for name, signer, text in (
        ("a:b", "", 'ClusterTrustBundle without signer name must not have ":" in its name'),
        (
            "b2",
            "example.com/s",
            "ClusterTrustBundle for signerName example.com/s must be named with prefix example.com:s:",
        ),
    ):
        assert await api.faults("POST", BUNDLES, bundle(name, signer)) == [
            f'metadata.name: Invalid value: "{name}": {text}'
        ]
    made["spec"]["signerName"] = "example.com/t"
    assert "spec.signerName" in paths(await api.faults("PUT", f"{BUNDLES}/example.com:s:x", made))
    _, found = await api("GET", f"{BUNDLES}?fieldSelector=spec.signerName%3Dexample.com/s")
    assert len(found["items"]) == 1
    rows = await api.table(BUNDLES)
    assert [list(row.items()) for row in rows] == [
        [("Name", "b"), ("SignerName", "<none>")],
        [("Name", "example.com:s:x"), ("SignerName", "example.com/s")],
    ]


async def test_a_trust_bundle_holds_authorities_each_once(api):
    leaf = certificate_pem(sign(CA, Leaf("x"), new_key().public_key(), 1)).decode()
    pem = CA.pem.decode()
    junk = "-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n"
    other = "-----BEGIN KEY-----\neA==\n-----END KEY-----\n"
    for text, faults in (
        ("", ["at least one trust anchor must be provided"]),
        (pem + "words\n" + pem, ["duplicate trust anchor (indices [0 1])"]),
        (
            leaf + junk + other + junk.replace("eA", "A: b\n\neA"),
            [
                "entry 0 does not have the CA bit set",
                "entry 1 does not parse as X.509",
                "entry 2 has bad block type: KEY",
                "entry 3 has PEM block headers",
            ],
        ),
    ):
        found = await api.faults("POST", BUNDLES, bundle(text=text))
        assert found == [f'spec.trustBundle: Invalid value: "<value omitted>": {fault}' for fault in faults]


def pod_request(key, **more):
    stub = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    spec = {
        "signerName": "example.com/s",
        "podName": "p",
        "podUID": "1",
        "serviceAccountName": "default",
        "serviceAccountUID": "2",
        "nodeName": "n",
        "nodeUID": "3",
        "stubPKCS10Request": b64(stub.public_bytes(Encoding.DER)),
    }
    return {"metadata": {"name": "r"}, "spec": spec | more}


async def test_a_pods_certificate_lasts_a_day_unless_asked_otherwise(api):
    made = await api.made(PODS, pod_request(new_key()))
    assert made["spec"]["maxExpirationSeconds"] == 86400
    made["spec"]["podName"] = "q"
    assert paths(await api.faults("PUT", f"{PODS}/r", made)) == ["spec"]
    bad = pod_request(
        ec.generate_private_key(ec.SECP256K1()),
        signerName="kubernetes.io/s",
        podName="P",
        podUID="",
        nodeUID="x" * 129,
        maxExpirationSeconds=86401,
        unverifiedUserAnnotations={"plain": "x"},
    )
    found = await api.faults("POST", PODS, bad)
    assert paths(found) == [
        "spec.unverifiedUserAnnotations",
        "spec.podName",
        "spec.podUID",
        "spec.nodeUID",
        "spec.maxExpirationSeconds",
        "spec.stubPKCS10Request",
    ]
    assert "spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]" in found


def issued(api, key, lifetime=timedelta(hours=2)):
    """An answer for a key: a certificate from now on, and what the status says about it."""
    begin = datetime.fromtimestamp(int(api.server.clock.now()), UTC)
    name = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(begin + lifetime)
    leaf = builder.sign(CA.key, SHA256())
    start, end = begin.timestamp(), (begin + lifetime).timestamp()
    condition = {"type": "Issued", "status": "True", "reason": "r", "lastTransitionTime": rfc3339(start)}
    return {
        "conditions": [condition],
        "certificateChain": certificate_pem(leaf).decode(),
        "notBefore": rfc3339(start),
        "notAfter": rfc3339(end),
        "beginRefreshAt": rfc3339(start + 3600),
    }


async def test_a_pods_certificate_is_issued_once_and_as_asked(api):
    key = new_key()
    made = await api.made(PODS, pod_request(key))

    async def faults(status):
        return await api.faults("PUT", f"{PODS}/r/status", made | {"status": status})

    good = issued(api, key)
    now = good["notBefore"]
    for status, fault in (
        (
            {"notBefore": now},
            'status: Invalid value: status is immutable unless transitioning to "Issued", "Denied", or',
        ),
        (good | {"certificateChain": ""}, "must contain at least one certificate"),
        (issued(api, new_key()), "leaf certificate was not issued to the requested public key"),
        (issued(api, key, timedelta(minutes=30)), "leaf certificate lifetime must be >= 1 hour"),
        (issued(api, key, timedelta(hours=25)), "must be <= spec.maxExpirationSeconds (86400)"),
        (good | {"notAfter": now}, "must be set to the NotAfter time encoded in the leaf certificate"),
        (good | {"beginRefreshAt": now}, "must be at least 10 minutes after status.notBefore"),
        ({"conditions": [good["conditions"][0] | {"type": "Denied"}], "notBefore": now}, "must be empty when denying"),
    ):
        (found,) = await faults(status)
        assert fault in found
    two = {"conditions": [good["conditions"][0], good["conditions"][0] | {"type": "Odd"}]}
    assert paths(await faults(two)) == ["status.conditions[1].type"]


async def test_who_may_sign_issues_the_certificate_of_a_pod_and_it_stays(api):
    key = new_key()
    made = await api.made(PODS, pod_request(key))
    made["status"] = issued(api, key)
    await api.made(
        f"{RBAC}/clusterroles", {"metadata": {"name": "writes"}, "rules": [rule("*", "podcertificaterequests/status")]}
    )
    await api.made(f"{RBAC}/clusterrolebindings", bound("writes"))
    assert await api.faults("PUT", f"{PODS}/r/status", made, user=BOB) == [
        'spec.signerName: Forbidden: User "bob" is not permitted to "sign" for signer "example.com/s"'
    ]
    await api.made(f"{RBAC}/clusterroles", {"metadata": {"name": "signs"}, "rules": [rule("sign", "signers")]})
    await api.made(f"{RBAC}/clusterrolebindings", bound("signs"))
    code, done = await api("PUT", f"{PODS}/r/status", made, user=BOB)
    assert code == 200, done
    done["status"]["beginRefreshAt"] = done["status"]["notBefore"]
    assert await api.faults("PUT", f"{PODS}/r/status", done) == [
        "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"
    ]
    _, found = await api("GET", f"{PODS}?fieldSelector=spec.nodeName%3Dn,spec.signerName%3Dexample.com/s")
    assert len(found["items"]) == 1
    (row,) = await api.table(PODS)
    assert row["State"] == "Issued"


async def test_an_old_certificate_is_no_answer(api):
    key = new_key()
    made = await api.made(PODS, pod_request(key))
    made["status"] = issued(api, key)
    leaf = sign(CA, Leaf("x", lifetime=timedelta(hours=2)), key.public_key(), api.server.clock.now() - 600)
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    made["status"] |= {
        "certificateChain": certificate_pem(leaf).decode(),
        "notBefore": rfc3339(begin),
        "notAfter": rfc3339(end),
    }
    (fault,) = await api.faults("PUT", f"{PODS}/r/status", made)
    assert fault.endswith("must be set to within 5 minutes of kube-apiserver's current time")


def rule(verb, resource):
    return {"verbs": [verb], "apiGroups": ["certificates.k8s.io"], "resources": [resource]}


def bound(role):
    subject = {"kind": "User", "name": "bob"}
    return {"metadata": {"name": role}, "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [subject]}


async def test_a_migration_names_a_resource_and_ends_once(api):
    assert await api.faults("POST", MIGRATIONS, {"metadata": {"name": "m"}}) == [
        "spec.resource.resource: Required value: resource is required"
    ]
    made = await api.made(
        MIGRATIONS, {"metadata": {"name": "m"}, "spec": {"resource": {"group": "apps", "resource": "a"}}}
    )
    made["spec"]["resource"]["resource"] = "b"
    assert await api.faults("PUT", f"{MIGRATIONS}/m", made) == ['resource: Invalid value: "b": field is immutable']
    now = rfc3339(api.server.clock.now())

    def ended(*kinds):
        return [{"type": kind, "status": "True", "reason": "r", "lastTransitionTime": now} for kind in kinds]

    made["status"] = {"conditions": ended("Succeeded", "Failed", "Running"), "resourceVersion": "x"}
    assert len(await api.faults("PUT", f"{MIGRATIONS}/m/status", made)) == 4
    made["status"] = {"conditions": ended("Succeeded"), "resourceVersion": "5"}
    code, done = await api("PUT", f"{MIGRATIONS}/m/status", made)
    assert code == 200
    done["status"] = {"resourceVersion": "6"}
    found = await api.faults("PUT", f"{MIGRATIONS}/m/status", done)
    assert [fault.rpartition(": ")[2] for fault in found] == [
        "cannot be updated",
        "Success condition cannot be set to false once it is true",
    ]
    (row,) = await api.table(MIGRATIONS)
    assert row == {"Name": "m", "Resource": "a.apps"}


def api_service(name="v1.example.com", **more):
    spec = {"group": "example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15}
    return {"metadata": {"name": name}, "spec": spec | more}


async def test_an_api_service_that_names_a_service_is_honest_about_it(api):
    made = await api.made(SERVICES, api_service(service={"name": "s", "namespace": "default"}))
    assert made["spec"]["service"]["port"] == 443
    (condition,) = made["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "ServiceNotFound")
    assert condition["message"] == 'service/s in "default" is not present'
    row = next(row for row in await api.table(SERVICES) if row["Name"] == "v1.example.com")
    assert list(row) == ["Name", "Service", "Available", "Age"]
    assert (row["Service"], row["Available"]) == ("default/s", "False (ServiceNotFound)")
    await api.made("/api/v1/namespaces/default/services", {"metadata": {"name": "t"}, "spec": {"ports": [{"port": 1}]}})
    made["spec"]["service"]["name"] = "t"
    _, changed = await api("PUT", f"{SERVICES}/v1.example.com", made)
    assert changed["status"]["conditions"][0]["reason"] == "FailedDiscoveryCheck"


async def test_every_fault_of_an_api_service_is_told(api):
    bad = api_service("x", version="V", groupPriorityMinimum=20001, versionPriority=0, caBundle="eA==")
    assert [fault.split(" (e.g")[0] for fault in await api.faults("POST", SERVICES, bad)] == [
        'metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "V.example.com"',
        "spec.version: Invalid value: \"V\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
        "start with an alphabetic character, and end with an alphanumeric character",
        "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
        "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
        'spec.caBundle: Invalid value: "1 bytes": local APIServices may not have a caBundle',
    ]
    bad = api_service(service={}, caBundle="eA==", insecureSkipTLSVerify=True)
    assert await api.faults("POST", SERVICES, bad) == [
        "spec.service.namespace: Required value",
        "spec.service.name: Required value",
        "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
    ]
