"""The chain: which plugins there are, in which order, for what, and how flags choose them."""

from pathlib import Path

import pytest
from tests.component.apiserver.admitted import NS, PODS, pod, serving

from pybernetes.apiserver.admission._configuration import read_configuration
from pybernetes.apiserver.admit import AdmissionPluginError, known

DEFAULT = """NamespaceLifecycle LimitRanger ServiceAccount TaintNodesByCondition PodSecurity Priority
DefaultTolerationSeconds DefaultStorageClass StorageObjectInUseProtection PodGroupProtection
PersistentVolumeClaimResize RuntimeClass CertificateApproval CertificateSigning ClusterTrustBundleAttest
CertificateSubjectRestriction DefaultIngressClass PodTopologyLabels PodGroupWorkloadExists
NodeDeclaredFeatureValidator JobValidation PodResizeValidator MutatingAdmissionPolicy MutatingAdmissionWebhook
ValidatingAdmissionPolicy ValidatingAdmissionWebhook ResourceQuota"""
OFF = """AlwaysAdmit NamespaceAutoProvision NamespaceExists LimitPodHardAntiAffinityTopology NodeRestriction
AlwaysPullImages ImagePolicyWebhook PodNodeSelector PodTolerationRestriction EventRateLimit
ExtendedResourceToleration OwnerReferencesPermissionEnforcement DenyServiceExternalIPs AlwaysDeny"""


def test_plugins_are_on_and_off_as_upstreams():
    assert {name for name, plugin in known().items() if plugin.default_on} == set(DEFAULT.split())
    assert {name for name, plugin in known().items() if not plugin.default_on} == set(OFF.split())


def test_the_order_is_upstreams():
    places = [plugin.order for plugin in known().values()]
    assert places == sorted(set(places))
    assert [name for name, plugin in known().items() if plugin.default_on] == DEFAULT.split()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"enable_admission": ("Nonsense",)}, 'enable-admission-plugins plugin "Nonsense" is unknown'),
        ({"disable_admission": ("Nonsense",)}, 'disable-admission-plugins plugin "Nonsense" is unknown'),
        ({"enable_admission": ("Priority",), "disable_admission": ("Priority",)}, "overlapped"),
        ({"enable_admission": ("ImagePolicyWebhook",)}, "image review webhooks are not available"),
        ({"enable_admission": ("EventRateLimit",)}, "limits: Invalid value: null: must not be empty"),
        (
            {"admission_configuration": {"PodSecurity": {"defaults": {"enforce": "strict"}}}},
            'defaults.enforce: Invalid value: "strict": must be one of privileged, baseline, restricted',
        ),
    ],
)
async def test_what_cannot_be_switched_on_is_an_error_at_the_start(config, message):
    with pytest.raises(AdmissionPluginError, match=message.replace(".", "\\.")):
        async with serving(**config):
            pass


async def test_a_plugin_is_asked_only_about_what_concerns_it():
    async with serving() as api:
        await api.ok("POST", f"{NS}/configmaps", {"metadata": {"name": "c"}})
        found = api.server.handlers._writes._admission._found
        mutate, validate = found["CREATE", "", "configmaps", ""]
        assert (len(mutate), len(validate)) == (1, 1), "NamespaceLifecycle, ResourceQuota"


async def test_always_deny_refuses_every_write():
    async with serving(account=False, enable_admission=("AlwaysDeny",)) as api:
        message = await api.refused("POST", f"{NS}/configmaps", {"metadata": {"name": "c"}})
        assert message == 'configmaps "c" is forbidden: admission control is denying all modifications'
        await api.refused("DELETE", "/api/v1/namespaces/kube-node-lease")


def test_the_configuration_file_names_plugins_and_other_files(tmp_path):
    (tmp_path / "limits.yaml").write_text(
        "{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: [{type: Server}]}"
    )
    (tmp_path / "file.yaml").write_text(
        """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: EventRateLimit
  path: limits.yaml
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline}
"""
    )
    found = read_configuration(tmp_path / "file.yaml")
    assert found["EventRateLimit"]["limits"] == [{"type": "Server"}]
    assert found["PodSecurity"]["defaults"] == {"enforce": "baseline"}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "{apiVersion: v1, kind: AdmissionConfiguration}",
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{}]}",
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: "
        "[{name: PodSecurity, configuration: {kind: Other}}]}",
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: PodSecurity, "
        "configuration: {apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, a: 1}}]}",
        "{unclosed",
    ],
)
def test_a_wrong_configuration_file_is_told(tmp_path, text):
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(ValueError):
        read_configuration(tmp_path / "file.yaml")


async def test_a_terminating_namespace_takes_nothing_new_and_lets_the_rest_be():
    async with serving() as api:
        await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
        maps = "/api/v1/namespaces/n/configmaps"
        await api.ok("POST", maps, {"metadata": {"name": "c"}})
        await api.ok("DELETE", "/api/v1/namespaces/n")
        code, answer = await api("POST", maps, {"metadata": {"name": "d"}})
        text = "unable to create new content in namespace n because it is being terminated"
        assert (code, answer["message"]) == (403, f'configmaps "d" is forbidden: {text}')
        assert answer["details"]["causes"] == [
            {
                "reason": "NamespaceTerminating",
                "message": "namespace n is being terminated",
                "field": "metadata.namespace",
            }
        ]
        assert (await api("POST", f"{maps}?dryRun=All", {"metadata": {"name": "d"}}))[0] == 403
        await api.ok("PATCH", f"{maps}/c", {"data": {"a": "b"}})
        await api.ok("DELETE", f"{maps}/c")


async def test_writes_need_their_namespace_and_some_namespaces_stay():
    async with serving() as api:
        code, answer = await api("POST", "/api/v1/namespaces/nowhere/configmaps", {"metadata": {"name": "c"}})
        assert (code, answer["message"]) == (404, 'namespaces "nowhere" not found')
        for name in ("default", "kube-system", "kube-public"):
            for query in ("", "?dryRun=All"):
                message = await api.refused("DELETE", f"/api/v1/namespaces/{name}{query}")
                assert message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


async def test_a_namespace_comes_with_its_first_object_where_that_is_wanted():
    async with serving(enable_admission=("NamespaceAutoProvision",)) as api:
        await api.ok("POST", "/api/v1/namespaces/fresh/configmaps", {"metadata": {"name": "c"}})
        await api.ok("GET", "/api/v1/namespaces/fresh")


async def test_events_beyond_the_rate_are_turned_away():
    limits = [{"type": "Namespace", "qps": 1, "burst": 2}]
    async with serving(
        enable_admission=("EventRateLimit",), admission_configuration={"EventRateLimit": {"limits": limits}}
    ) as api:
        about = {"kind": "Pod", "namespace": "default", "name": "p"}
        for name in "ab":
            await api.ok("POST", f"{NS}/events", {"metadata": {"name": name}, "involvedObject": about})
        code, answer = await api("POST", f"{NS}/events", {"metadata": {"name": "c"}, "involvedObject": about})
        assert (code, answer["reason"]) == (429, "TooManyRequests")
        assert answer["message"] == "Too many requests: limit reached on type Namespace for key default"


async def test_plugins_that_are_off_by_default_do_their_work_when_they_are_on():
    plugins = ("AlwaysPullImages", "LimitPodHardAntiAffinityTopology", "DenyServiceExternalIPs")
    async with serving(enable_admission=(*plugins, "ExtendedResourceToleration")) as api:
        amounts = {"example.com/gpu": "1"}
        made = await api.ok("POST", PODS, pod(resources={"limits": amounts, "requests": amounts}))
        assert made["spec"]["containers"][0]["imagePullPolicy"] == "Always"
        wanted = {"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        assert wanted in made["spec"]["tolerations"]
        term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
        affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        assert await api.refused("POST", PODS, pod("q", affinity=affinity)) == (
            'pods "q" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only '
            "key kubernetes.io/hostname is allowed"
        )
        spec = {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]}
        message = await api.refused("POST", f"{NS}/services", {"metadata": {"name": "s"}, "spec": spec})
        assert message == 'services "s" is forbidden: Use of external IPs is denied by admission control'


async def test_a_namespaces_annotations_choose_nodes_and_tolerations():
    configuration = {
        "PodNodeSelector": {"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "a=b", "n": "c=d,e=f"}},
        "PodTolerationRestriction": {"whitelist": [{"operator": "Exists", "effect": e} for e in ("NoExecute",)]},
    }
    async with serving(
        enable_admission=("PodNodeSelector", "PodTolerationRestriction"), admission_configuration=configuration
    ) as api:
        assert (await api.ok("POST", PODS, pod()))["spec"]["nodeSelector"] == {"a": "b"}
        tolerated = {"key": "k", "operator": "Exists", "effect": "NoSchedule"}
        message = await api.refused("POST", PODS, pod("q", tolerations=[tolerated]))
        assert message.endswith("namespace default tolerations) conflict with its cluster whitelist")
        prefix = "scheduler.alpha.kubernetes.io"
        said = {
            f"{prefix}/node-selector": "c=d",
            f"{prefix}/defaultTolerations": '[{"key":"k","operator":"Exists","effect":"NoSchedule"}]',
            f"{prefix}/tolerationsWhitelist": "[]",
        }
        await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "n", "annotations": said}})
        await api.ok("POST", "/api/v1/namespaces/n/serviceaccounts", {"metadata": {"name": "default"}})
        made = await api.ok("POST", "/api/v1/namespaces/n/pods", pod())
        assert made["spec"]["nodeSelector"] == {"c": "d"}
        assert tolerated in made["spec"]["tolerations"]
        message = await api.refused("POST", "/api/v1/namespaces/n/pods", pod("q", nodeSelector={"c": "x"}))
        assert message.endswith("pod node label selector conflicts with its namespace node label selector")
        message = await api.refused("POST", "/api/v1/namespaces/n/pods", pod("q", nodeSelector={"x": "y"}))
        assert message.endswith("pod node label selector labels conflict with its namespace whitelist")


def test_the_reference_lists_every_plugin_in_order():
    page = Path(__file__).parents[3] / "docs" / "reference" / "admission.md"
    rows = [line.split("|")[1:3] for line in page.read_text().splitlines() if line.startswith("| `")]
    listed = [(name.strip().strip("`"), default.strip()) for name, default in rows]
    assert listed == [(name, "on" if plugin.default_on else "off") for name, plugin in known().items()]
