"""What admission makes of Pods: limit ranges, accounts, priorities, runtime classes, labels of their nodes, resizing."""

import pytest
from tests.component.apiserver.admitted import NS, PODS, pod, serving

RANGES = f"{NS}/limitranges"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


@pytest.fixture
async def api():
    async with serving() as made:
        yield made


async def limit_range(api, name="r", **limit):
    limit.setdefault("type", "Container")
    await api.ok("POST", RANGES, {"metadata": {"name": name}, "spec": {"limits": [limit]}})


def container(made, field="containers"):
    return made["spec"][field][0]["resources"]


async def test_a_limit_range_gives_defaults_and_says_so(api):
    await limit_range(api, defaultRequest={"cpu": "100m", "memory": "1Mi"}, default={"memory": "1Gi", "cpu": "1"})
    init = [{"name": "i", "image": "one"}]
    made = await api.ok("POST", PODS, pod(initContainers=init, resources={"limits": {"memory": "2Gi"}}))
    assert container(made) == {"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    assert container(made, "initContainers")["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c; "
        "cpu, memory request for init container i; cpu, memory limit for init container i"
    )


async def test_several_limit_ranges_hold_together(api):
    await limit_range(api, "a", default={"cpu": "1"})
    await limit_range(api, "b", default={"cpu": "2", "memory": "1Gi"}, max={"cpu": "3"})
    made = await api.ok("POST", PODS, pod())
    assert container(made)["limits"]["memory"] == "1Gi"
    assert container(made)["limits"]["cpu"] == "1", "the first that says it"


BEYOND = [
    (
        {"max": {"memory": "1Gi"}},
        {"limits": {"memory": "2Gi"}},
        "maximum memory usage per Container is 1Gi, but limit is 2Gi",
    ),
    (
        {"min": {"cpu": "100m"}},
        {"requests": {"cpu": "50m"}},
        "minimum cpu usage per Container is 100m, but request is 50m",
    ),
    (
        {"maxLimitRequestRatio": {"cpu": "2"}},
        {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}},
        "cpu max limit to request ratio per Container is 2, but provided ratio is 5.000000",
    ),
    (
        {"maxLimitRequestRatio": {"cpu": "2"}},
        {},
        "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
    ),
    ({"type": "Pod", "max": {"cpu": "1"}}, {}, "maximum cpu usage per Pod is 1.  No limit is specified"),
    ({"type": "Pod", "min": {"cpu": "1"}}, {}, "minimum cpu usage per Pod is 1.  No request is specified"),
    (
        {"type": "Pod", "max": {"memory": "1Gi", "cpu": "1"}},
        {"limits": {"cpu": "2", "memory": "2Gi"}},
        "[maximum cpu usage per Pod is 1, but limit is 2, maximum memory usage per Pod is 1Gi, but limit is 2Gi]",
    ),
]


@pytest.mark.parametrize(("limit", "resources", "message"), BEYOND)
async def test_what_is_beyond_a_limit_range_is_refused(api, limit, resources, message):
    await api.stored("", "limitranges", _range({"type": "Container", **limit}))
    assert await api.refused("POST", PODS, pod(resources=resources)) == f'pods "p" is forbidden: {message}'


def _range(limit):
    return {"metadata": {"name": "r", "namespace": "default"}, "spec": {"limits": [limit]}}


async def test_claims_keep_within_limit_ranges(api):
    await limit_range(api, type="PersistentVolumeClaim", min={"storage": "1Gi"}, max={"storage": "2Gi"})
    for size, message in (
        ("3Gi", "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"),
        ("1Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"),
    ):
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        claim = {"metadata": {"name": "c"}, "spec": spec}
        text = await api.refused("POST", f"{NS}/persistentvolumeclaims", claim)
        assert text == f'persistentvolumeclaims "c" is forbidden: {message}'


async def test_an_account_gives_its_token_and_its_pull_secrets(api):
    account = {"metadata": {"name": "a"}, "imagePullSecrets": [{"name": "s"}]}
    await api.ok("POST", f"{NS}/serviceaccounts", account)
    made = await api.ok("POST", PODS, pod(serviceAccountName="a"))
    volume = made["spec"]["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    mount = made["spec"]["containers"][0]["volumeMounts"][0]
    assert (mount["mountPath"], mount["readOnly"]) == ("/var/run/secrets/kubernetes.io/serviceaccount", True)
    assert made["spec"]["imagePullSecrets"] == [{"name": "s"}]
    bare = await api.ok("POST", PODS, pod("bare", automountServiceAccountToken=False))
    assert "volumes" not in bare["spec"]
    message = await api.refused("POST", PODS, pod("q", serviceAccountName="none"))
    assert message == (
        'pods "q" is forbidden: error looking up service account default/none: serviceaccount "none" not found'
    )


async def test_an_account_may_limit_which_secrets_its_pods_name(api):
    meta = {"name": "a", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    await api.ok("POST", f"{NS}/serviceaccounts", {"metadata": meta, "secrets": [{"name": "mine"}]})
    reference = {"secretKeyRef": {"name": "other", "key": "k"}}
    account = "because service account a does not reference that"
    for made, message in (
        (
            pod(serviceAccountName="a", volumes=[{"name": "v", "secret": {"secretName": "other"}}]),
            f'volume with secret.secretName="other" is not allowed {account} secret',
        ),
        (
            pod(serviceAccountName="a", container={"env": [{"name": "E", "valueFrom": reference}]}),
            f'container c with envVar E referencing secret.secretName="other" is not allowed {account} secret',
        ),
        (
            pod(serviceAccountName="a", container={"envFrom": [{"secretRef": {"name": "other"}}]}),
            f'container c with envFrom referencing secret.secretName="other" is not allowed {account} secret',
        ),
        (
            pod(serviceAccountName="a", imagePullSecrets=[{"name": "other"}]),
            f'imagePullSecrets[0].name="other" is not allowed {account} imagePullSecret',
        ),
    ):
        assert await api.refused("POST", PODS, made) == f'pods "p" is forbidden: {message}'
    allowed = [{"name": "v", "secret": {"secretName": "mine"}}]
    await api.ok("POST", PODS, pod(serviceAccountName="a", volumes=allowed))


async def test_a_class_becomes_a_number_and_a_policy(api):
    await api.ok("POST", CLASSES, {"metadata": {"name": "high"}, "value": 10, "preemptionPolicy": "Never"})
    made = await api.ok("POST", PODS, pod(priorityClassName="high"))
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (10, "Never")
    bare = (await api.ok("POST", PODS, pod("bare")))["spec"]
    assert (bare["priority"], bare["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert await api.refused("POST", PODS, pod("q", priorityClassName="x")) == (
        'pods "q" is forbidden: no PriorityClass with name x was found'
    )
    assert await api.refused("POST", PODS, pod("q", priorityClassName="high", priority=5)) == (
        'pods "q" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority '
        "admission controller computed 10 from the given PriorityClass name"
    )
    assert await api.refused("POST", PODS, pod("q", preemptionPolicy="Never")) == (
        'pods "q" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; '
        "priority admission controller computed PreemptLowerPriority from the given PriorityClass name"
    )


async def test_one_class_is_everybodys(api):
    await api.ok("POST", CLASSES, {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True})
    made = (await api.ok("POST", PODS, pod()))["spec"]
    assert (made["priorityClassName"], made["priority"]) == ("usual", 7)
    second = {"metadata": {"name": "more"}, "value": 8, "globalDefault": True}
    assert await api.refused("POST", CLASSES, second) == (
        'priorityclasses.scheduling.k8s.io "more" is forbidden: PriorityClass usual is already marked as default. '
        "Only one default can exist"
    )
    await api.ok("PATCH", f"{CLASSES}/usual", {"description": "for all"})


async def test_a_runtime_class_gives_overhead_selector_and_tolerations(api):
    tolerated = {"key": "k", "operator": "Exists"}
    runtime = {
        "metadata": {"name": "vm"},
        "handler": "vm",
        "overhead": {"podFixed": {"memory": "10Mi"}},
        "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [tolerated]},
    }
    await api.ok("POST", "/apis/node.k8s.io/v1/runtimeclasses", runtime)
    made = (await api.ok("POST", PODS, pod(runtimeClassName="vm", nodeSelector={"c": "d"})))["spec"]
    assert made["overhead"] == {"memory": "10Mi"}
    assert made["nodeSelector"] == {"a": "b", "c": "d"}
    assert tolerated in made["tolerations"]
    unlike = "Pod's Overhead doesn't match RuntimeClass's defined Overhead"
    alone = "Pod Overhead set without corresponding RuntimeClass defined Overhead"
    for spec, message in (
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        ({"runtimeClassName": "vm", "overhead": {"cpu": "1"}}, f"pod rejected: {unlike}"),
        ({"overhead": {"cpu": "1"}}, f"pod rejected: {alone}"),
        (
            {"runtimeClassName": "vm", "nodeSelector": {"a": "x"}},
            "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = x",
        ),
    ):
        assert await api.refused("POST", PODS, pod("q", **spec)) == f'pods "q" is forbidden: {message}'


async def test_tolerations_of_silent_nodes_are_given_where_none_are(api):
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    made = (await api.ok("POST", PODS, pod(tolerations=[own])))["spec"]["tolerations"]
    assert made == [own, {**own, "key": "node.kubernetes.io/unreachable", "tolerationSeconds": 300}]


async def test_a_pod_carries_the_zone_of_its_node(api):
    labels = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "x"}
    await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n", "labels": labels}})
    await api.ok("POST", PODS, pod())
    await api.ok("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})
    wanted = {key: value for key, value in labels.items() if key != "other"}
    assert (await api.ok("GET", f"{PODS}/p"))["metadata"]["labels"] == wanted
    assert (await api.ok("POST", PODS, pod("q", nodeName="n")))["metadata"]["labels"] == wanted


async def test_a_new_node_is_tainted(api):
    made = await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_claims_and_ingresses_get_the_default_class(api):
    marked = {"storageclass.kubernetes.io/is-default-class": "true"}
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    for name in ("b", "a"):
        await api.ok("POST", classes, {"metadata": {"name": name, "annotations": marked}, "provisioner": "p"})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
    made = await api.ok("POST", f"{NS}/persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": spec})
    assert made["spec"]["storageClassName"] in ("a", "b")
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    none = {"metadata": {"name": "d"}, "spec": {**spec, "storageClassName": ""}}
    assert (await api.ok("POST", f"{NS}/persistentvolumeclaims", none))["spec"]["storageClassName"] == ""
    await api.status(f"{NS}/persistentvolumeclaims/d", {"phase": "Bound"})
    bigger = {"spec": {"resources": {"requests": {"storage": "2"}}}}
    text = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support"
    message = await api.refused("PATCH", f"{NS}/persistentvolumeclaims/d", bigger)
    assert message == f'persistentvolumeclaims "d" is forbidden: {text} resize'
