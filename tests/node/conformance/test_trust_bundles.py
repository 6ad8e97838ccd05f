"""ClusterTrustBundles as files: upstream's test/e2e/auth/projected_clustertrustbundle.go."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.node.conformance.place import condition
from tests.node.conformance.pods import container, entry, mount, pod

from pybernetes.wire.pki.certificates import new_authority

BUNDLES = "/apis/certificates.k8s.io/v1/clustertrustbundles"
FEATURE = "[sig-auth] [FeatureGate:ClusterTrustBundle] [FeatureGate:ClusterTrustBundleProjection] "
TAGS = " [MinimumKubeletVersion:1.37] [Conformance]"
SIGNED = f"{FEATURE}should be capable to mount multiple trust bundles by signer+labels "
PEM = [new_authority(f"root{number}", 1.7e9).pem.decode() for number in range(6)]


@contextlib.asynccontextmanager
async def bundles(space, *texts: str, labels: tuple[dict, ...] = (), signer: str = "") -> AsyncIterator[list[str]]:
    """A bundle for each text, of one signer where it is given; their names. They are the cluster's and go afterwards."""
    names = []
    try:
        for number, text in enumerate(texts):
            prefix = signer.replace("/", ":") + ":" if signer else ""
            name = f"{prefix}{space.name}-{number}"
            spec = {"trustBundle": text, **({"signerName": signer} if signer else {})}
            meta = {"name": name, "labels": labels[number] if labels else {}}
            await space.api.made(BUNDLES, {"metadata": meta, "spec": spec})
            names.append(name)
        await space.settled()
        yield names
    finally:
        for name in names:
            await space.api.ok("DELETE", f"{BUNDLES}/{name}")


def _source(path: str = "bundle.pem", **fields) -> dict:
    return {"clusterTrustBundle": {"path": path, **fields}}


def _volume(*sources: dict, name: str = "v") -> dict:
    return {"name": name, "projected": {"sources": list(sources)}}


async def _blocks(space, *sources: dict) -> list[str]:
    """The certificates in /v/bundle.pem, in order of the alphabet."""
    one = container("cat", "/v/bundle.pem", volumeMounts=[mount("/v")])
    printed = await space.output(pod("reader", one, volumes=[_volume(*sources)]))
    return sorted(f"{block}-----END CERTIFICATE-----\n" for block in printed.split("-----END CERTIFICATE-----\n")[:-1])


@pytest.mark.conformance(f"{FEATURE}should be able to mount a single ClusterTrustBundle by name{TAGS}")
async def test_a_bundle_is_a_file_and_one_that_may_be_missing_an_empty_one(space):
    async with bundles(space, PEM[0]) as (name,):
        one = container("sh", "-c", "stat -L -c '%a %s' /v/*; cat /v/bundle.pem", volumeMounts=[mount("/v")])
        sources = [_source(name=name), _source("none.pem", name="no-such-bundle", optional=True)]
        printed = await space.output(pod("reader", one, volumes=[_volume(*sources)]))
        assert printed == f"644 {len(PEM[0])}\n644 0\n{PEM[0]}"


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        entry(
            f"{SIGNED}can combine multiple CTBs with signer name and label selector{TAGS}",
            {"matchLabels": {"chosen": "yes"}},
            [0, 2],
            id="by label",
        ),
        entry(f"{SIGNED}can combine all signer CTBs with an empty label selector{TAGS}", {}, [0, 1, 2], id="all"),
        entry(
            f"{SIGNED}should start if only signer name and nil label selector + optional=true{TAGS}", None, [], id="nil"
        ),
        entry(
            f"{SIGNED}should start if only signer name and explicit label selector matches nothing + optional=true{TAGS}",
            {"matchLabels": {"chosen": "never"}},
            [],
            id="nothing",
        ),
    ],
)
async def test_a_signers_bundles_are_chosen_by_their_labels(space, selector, wanted):
    signer = f"test.test/{space.name}"
    labels = ({"chosen": "yes"}, {"chosen": "no"}, {"chosen": "yes"})
    async with bundles(space, *PEM[:3], labels=labels, signer=signer), bundles(space, PEM[3]):
        asked = {"signerName": signer, "optional": True}
        source = _source(**asked, **({} if selector is None else {"labelSelector": selector}))
        assert await _blocks(space, source) == sorted(PEM[number] for number in wanted)


@pytest.mark.parametrize(
    "asked",
    [
        entry(
            f"{FEATURE}should prevent a pod from starting if: sets optional=false and no trust bundle matches query{TAGS}",
            {"signerName": "test.test/nobody", "labelSelector": {"matchLabels": {"a": "b"}}},
            id="no match",
        ),
        entry(
            f"{FEATURE}should prevent a pod from starting if: sets optional=false and the configured CTB does not exist"
            f"{TAGS}",
            {"name": "does-not-exist"},
            id="no such name",
        ),
    ],
)
async def test_a_bundle_that_must_be_there_is_waited_for(space, asked):
    source = _source(optional=False, **asked)
    await space.create("pods", pod("p", container(volumeMounts=[mount("/v")]), volumes=[_volume(source)]))
    await space.event("p", "FailedMount")
    found = await space.get("p")
    assert (found["status"]["phase"], condition(found, "Ready")) == ("Pending", "False")
    assert next(c for c in found["status"]["conditions"] if c["type"] == "Ready")["reason"] == "ContainersNotReady"


@pytest.mark.conformance(f"{FEATURE}should be able to specify multiple CTB volumes{TAGS}")
async def test_bundles_may_be_in_several_volumes(space):
    signer = f"test.test/{space.name}"
    async with bundles(space, PEM[0]) as (name,), bundles(space, PEM[1], PEM[2], signer=signer):
        shown = [
            _volume(_source(name=name), name="a"),
            _volume(_source(signerName=signer, labelSelector={}), name="b"),
        ]
        one = container("cat", "/a/bundle.pem", "/b/bundle.pem", volumeMounts=[mount("/a", "a"), mount("/b", "b")])
        printed = await space.output(pod("reader", one, volumes=shown))
        assert printed.startswith(PEM[0])
        assert {PEM[1] in printed, PEM[2] in printed, printed.count("BEGIN") == 3} == {True}


@pytest.mark.slow
@pytest.mark.conformance(f"{FEATURE}should be able to mount a big number (>100) of CTBs{TAGS}")
async def test_a_hundred_and_fifty_bundles_are_shown_in_any_way(space):
    """As sources of one volume, as a file of all, and as volumes of their own."""
    texts = [new_authority(f"big{number}", 1.7e9).pem.decode() for number in range(150)]
    signer = f"test.test/{space.name}"
    async with bundles(space, *texts, signer=signer) as names:
        sources = [_source(f"{number}.pem", name=name) for number, name in enumerate(names)]
        one = container("sh", "-c", "cat /v/*.pem | grep -c BEGIN; stat -L -c %a /v/77.pem", volumeMounts=[mount("/v")])
        assert await space.output(pod("sources", one, volumes=[_volume(*sources)])) == "150\n644\n"
        assert await _blocks(space, _source(signerName=signer, labelSelector={})) == sorted(texts)
        shown = [_volume(source, name=f"v{number}") for number, source in enumerate(sources)]
        mounts = [mount(f"/v/{number}", f"v{number}") for number in range(150)]
        one = container("sh", "-c", "cat /v/*/*.pem | grep -c BEGIN", volumeMounts=mounts)
        assert await space.output(pod("volumes", one, volumes=shown)) == "150\n"
