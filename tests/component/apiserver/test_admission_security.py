"""PodSecurity: what a namespace's labels forbid, what they warn of, and who is exempt."""

import pytest
from tests.component.apiserver.admitted import PODS, pod, serving

from pybernetes.api.objects import User

NAMESPACES = "/api/v1/namespaces"
PREFIX = "pod-security.kubernetes.io/"
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}


@pytest.fixture
async def api():
    async with serving() as made:
        yield made


async def label(api, **labels):
    """Labels of the namespace `default`; what that warns of."""
    named = {PREFIX + name.replace("_", "-"): value for name, value in labels.items()}
    return await api.warnings("PATCH", f"{NAMESPACES}/default", {"metadata": {"labels": named}})


RESTRICTED = (
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
    '"Localhost")'
)


async def test_pods_are_refused_with_all_that_is_wrong(api):
    await label(api, enforce="restricted")
    message = await api.refused("POST", PODS, pod())
    assert message == f'pods "p" is forbidden: violates PodSecurity "restricted:latest": {RESTRICTED}'
    assert await api.refused("POST", f"{PODS}?dryRun=All", pod()) == message
    good = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    await api.ok("POST", PODS, pod(container={"securityContext": good}))
    await label(api, enforce="baseline", enforce_version="v1.20")
    message = await api.refused("POST", PODS, pod("q", hostNetwork=True))
    assert message == (
        'pods "q" is forbidden: violates PodSecurity "baseline:v1.20": host namespaces (hostNetwork=true)'
    )


async def test_workloads_are_warned_of_and_pods_of_other_modes_too(api):
    await label(api, enforce="restricted", warn="restricted")
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    warned = await api.warnings("POST", deployments, {"metadata": {"name": "d"}, "spec": spec})
    assert warned == [f'would violate PodSecurity "restricted:latest": {RESTRICTED}']
    await label(api, enforce="privileged", warn="baseline", warn_version="v1.30", audit="baseline")
    warned = await api.warnings("POST", PODS, pod(hostPID=True))
    assert warned == ['would violate PodSecurity "baseline:v1.30": host namespaces (hostPID=true)']


async def test_a_stricter_label_warns_of_pods_that_are_there(api):
    for name in ("b", "a"):
        await api.ok("POST", PODS, pod(name, hostNetwork=True))
    await api.ok("POST", PODS, pod("c", hostPID=True, container={"securityContext": {"privileged": True}}))
    assert await label(api, enforce="baseline") == [
        'existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 1 other pod): host namespaces",
        "c: host namespaces, privileged",
    ]
    assert await label(api, enforce="privileged") == []


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ({"enforce": "strict"}, 'enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted'),
        ({"warn-version": "v2.0"}, 'warn-version]: Invalid value: "v2.0": must be "latest" or "v1.x"'),
        ({"audit-version": "v1.01"}, 'audit-version]: Invalid value: "v1.01": must be "latest" or "v1.x"'),
    ],
)
async def test_labels_that_mean_nothing_are_refused(api, labels, fault):
    named = {PREFIX + name: value for name, value in labels.items()}
    code, answer = await api("POST", NAMESPACES, {"metadata": {"name": "n", "labels": named}})
    assert (code, answer["message"]) == (422, f'Namespace "n" is invalid: metadata.labels[{PREFIX}{fault}')
    code, answer = await api("PATCH", f"{NAMESPACES}/default", {"metadata": {"labels": named}})
    assert code == 422


async def test_an_update_is_judged_when_it_can_make_things_worse(api):
    await api.ok("POST", PODS, pod())
    await label(api, enforce="restricted")
    await api.ok("PATCH", f"{PODS}/p", {"metadata": {"labels": {"a": "b"}}})
    image = {"spec": {"containers": [{"name": "c", "image": "two"}]}}
    assert "violates PodSecurity" in await api.refused("PATCH", f"{PODS}/p", image)


async def test_defaults_and_exemptions_come_from_the_configuration():
    configuration = {
        "defaults": {"enforce": "baseline", "enforce-version": "v1.30"},
        "exemptions": {"usernames": ["trusted"], "namespaces": ["kube-system"], "runtimeClasses": ["vm"]},
    }
    async with serving(admission_configuration={"PodSecurity": configuration}) as api:
        assert 'violates PodSecurity "baseline:v1.30"' in await api.refused("POST", PODS, pod(hostIPC=True))
        trusted = User("trusted", groups=("system:masters",))
        await api.ok("POST", PODS, pod(hostIPC=True), user=trusted)
        await api.ok("POST", f"{NAMESPACES}/kube-system/serviceaccounts", {"metadata": {"name": "default"}})
        await api.ok("POST", f"{NAMESPACES}/kube-system/pods", pod(hostIPC=True))
        await api.ok("POST", "/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": "vm"}, "handler": "vm"})
        await api.ok("POST", PODS, pod("q", hostIPC=True, runtimeClassName="vm"))
        labels = {"metadata": {"labels": {f"{PREFIX}enforce": "restricted"}}}
        warned = await api.warnings("PATCH", f"{NAMESPACES}/kube-system", labels)
        assert warned == [
            'namespace "kube-system" is exempt from Pod Security, and the policy (enforce=restricted:v1.30) will be '
            "ignored"
        ]
