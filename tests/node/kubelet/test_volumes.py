"""Volumes in real containers: what they see, what reaches them while they run, what the node keeps of it."""

import asyncio
import base64
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench._containerd import IMAGE
from bench._node import NodeUnderTest, gone, running
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from tests.node.cri import until

from pybernetes.aio.clock import rfc3339
from pybernetes.api.objects import Key
from pybernetes.api.types import certificates_v1, core_v1, meta_v1
from pybernetes.client.rest import key_of
from pybernetes.kernel import mounts
from pybernetes.wire.pki.certificates import certificate_pem, new_authority

pytestmark = pytest.mark.root

EMPTY = core_v1.EmptyDirVolumeSource()


def meta(name: str) -> meta_v1.ObjectMeta:
    return meta_v1.ObjectMeta(name=name, namespace="default")


def container(name: str = "c", *command: str, **fields: Any) -> core_v1.Container:
    """Mounts given as `v=/path` or as VolumeMounts."""
    mounted = tuple(
        core_v1.VolumeMount(name=m.split("=")[0], mountPath=m.split("=")[1]) if isinstance(m, str) else m
        for m in fields.pop("mounted", ())
    )
    shell = ("sh", "-c", command[0]) if command else ("sleep", "1000")
    return core_v1.Container(name=name, image=IMAGE, command=shell, volumeMounts=mounted, **fields)


def volume(name: str, **source: Any) -> core_v1.Volume:
    return core_v1.Volume(name=name, **source)


async def sh(one: NodeUnderTest, name: str, script: str, container: str = "c") -> str:
    """What a shell in a running container says, both streams."""
    pod = await one.until(name, running)
    id = next(s.containerID for s in pod.status.containerStatuses if s.name == container)
    result = await one.runtime.exec(id.removeprefix("containerd://"), ("sh", "-c", script), 10)
    return (result.stdout + result.stderr).decode().strip()


async def shows(one: NodeUnderTest, name: str, script: str, expected: str, container: str = "c") -> None:
    """Waits until a script in a container says what is expected: files follow within seconds."""

    async def so() -> bool:
        return await sh(one, name, script, container) == expected

    await until(so, expected, timeout=6)


async def told(one: NodeUnderTest, name: str, reason: str, words: str) -> None:
    """Waits for an event of a Pod."""

    async def heard() -> bool:
        found = await one.client.of(core_v1.Event).list("default")
        return any(e.involvedObject.name == name and e.reason == reason and words in e.message for e in found.items)

    await until(heard, f"{reason}: {words}")


async def finished(one: NodeUnderTest, name: str) -> None:
    """Deletes a Pod and waits until nothing of it is on the node."""
    pod = await one.get(name)
    assert pod is not None
    await one.pods.delete(Key("default", name), grace=0)
    await one.until(name, gone)
    folder = one.folder / "kubelet" / "pods" / pod.metadata.uid
    await until(lambda: not folder.exists(), "removed")
    assert not [m.target for m in mounts.table() if pod.metadata.uid in m.target]


async def test_files_follow_what_they_are_made_of_within_seconds(one: NodeUnderTest) -> None:
    maps, secrets = one.client.of(core_v1.ConfigMap), one.client.of(core_v1.Secret)
    await maps.create(core_v1.ConfigMap(metadata=meta("m"), data={"a": "1", "b": "2"}))
    await secrets.create(core_v1.Secret(metadata=meta("s"), data={"k": "b25l"}))
    part = core_v1.VolumeProjection(configMap=core_v1.ConfigMapProjection(name="m"))
    volumes = (
        volume("m", configMap=core_v1.ConfigMapVolumeSource(name="m")),
        volume("s", secret=core_v1.SecretVolumeSource(secretName="s")),
        volume("p", projected=core_v1.ProjectedVolumeSource(sources=(part,))),
        volume("o", configMap=core_v1.ConfigMapVolumeSource(name="later", optional=True)),
    )
    mounted = ("m=/m", "s=/s", "p=/p", "o=/o")
    await one.create("web", containers=(container(mounted=mounted),), volumes=volumes)
    assert await sh(one, "web", "cat /m/a /m/b /s/k /p/a; ls /o; echo x > /m/a") == (
        "12one1sh: can't create /m/a: Read-only file system"
    )
    await maps.patch_raw(Key("default", "m"), {"data": {"a": "3", "b": None}})
    await secrets.patch_raw(Key("default", "s"), {"data": {"k": "dHdv"}})
    await maps.create(core_v1.ConfigMap(metadata=meta("later"), data={"x": "9"}))
    await shows(one, "web", "cat /m/a /s/k /p/a /o/x; ls /m", "3two39a")
    await maps.delete(Key("default", "later"))
    await shows(one, "web", "ls /o", "")
    await finished(one, "web")


async def test_a_pod_starts_as_soon_as_what_it_lacks_is_there(one: NodeUnderTest) -> None:
    source = core_v1.ConfigMapVolumeSource(name="late")
    await one.create("web", containers=(container(mounted=("m=/m",)),), volumes=(volume("m", configMap=source),))
    await told(one, "web", "FailedMount", 'MountVolume.SetUp failed for volume "m" : configmap "late" not found')
    await asyncio.sleep(4)  # the back-off has grown by now
    await one.client.of(core_v1.ConfigMap).create(core_v1.ConfigMap(metadata=meta("late"), data={"a": "1"}))
    await one.until("web", running, timeout=3)
    assert await sh(one, "web", "cat /m/a") == "1"


async def test_containers_of_a_pod_share_an_empty_dir_with_its_modes(one: NodeUnderTest) -> None:
    volumes = (
        volume("d", emptyDir=EMPTY),
        volume("t", emptyDir=core_v1.EmptyDirVolumeSource(medium="Memory", sizeLimit="1Mi")),
    )
    user = core_v1.PodSecurityContext(runAsUser=1000, fsGroup=2000)
    both = ("d=/d", "t=/t")
    await one.create(
        "web",
        containers=(container("c", mounted=both), container("b", mounted=both)),
        volumes=volumes,
        securityContext=user,
    )
    assert await sh(one, "web", "echo hello > /d/f; stat -c '%u %g %a' /d /d/f") == "0 2000 2777\n1000 2000 644"
    assert await sh(one, "web", "cat /d/f", "b") == "hello"
    assert "1048576" in await sh(one, "web", "head -c 2000000 /dev/zero > /t/f; stat -c %s /t/f")
    await finished(one, "web")


async def test_a_sub_path_is_part_of_a_volume_and_kept_by_restarts(one: NodeUnderTest) -> None:
    await one.client.of(core_v1.ConfigMap).create(core_v1.ConfigMap(metadata=meta("m"), data={"a": "1", "b": "2"}))
    volumes = (volume("d", emptyDir=EMPTY), volume("m", configMap=core_v1.ConfigMapVolumeSource(name="m")))
    name = core_v1.EnvVar(
        name="POD", valueFrom=core_v1.EnvVarSource(fieldRef=core_v1.ObjectFieldSelector(fieldPath="metadata.name"))
    )
    mounted = (
        "d=/d",
        core_v1.VolumeMount(name="d", mountPath="/part", subPathExpr="logs/$(POD)"),
        core_v1.VolumeMount(name="m", mountPath="/etc/one", subPath="a"),
    )
    script = "cat /etc/one > /part/seen; echo run >> /part/runs; [ $(wc -l < /part/runs) = 2 ] && sleep 1000; exit 1"
    await one.create("web", containers=(container("c", script, mounted=mounted, env=(name,)),), volumes=volumes)
    pod = await one.until("web", lambda p: bool(running(p) and p and p.status.containerStatuses[0].restartCount))
    assert await sh(one, "web", "cat /d/logs/web/seen; cat /d/logs/web/runs; ls /etc/one") == "1run\nrun\n/etc/one"
    place = one.folder / "kubelet/pods" / pod.metadata.uid / "volume-subpaths"
    assert sorted(str(p.relative_to(place)) for p in place.glob("*/*/*")) == ["d/c/1", "m/c/2"]
    await finished(one, "web")


async def test_a_sub_path_that_an_init_container_makes_is_found_when_its_turn_comes(one: NodeUnderTest) -> None:
    init = container("i", "mkdir -p /d/x; echo made > /d/x/file", mounted=("d=/d",))
    mounted = (core_v1.VolumeMount(name="d", mountPath="/file", subPath="x/file"),)
    await one.create(
        "web", initContainers=(init,), containers=(container(mounted=mounted),), volumes=(volume("d", emptyDir=EMPTY),)
    )
    assert await sh(one, "web", "cat /file") == "made"


async def test_a_sub_path_that_leads_out_gets_nothing_of_the_node(one: NodeUnderTest) -> None:
    init = container("i", "ln -s / /d/out", mounted=("d=/d",))
    mounted = (core_v1.VolumeMount(name="d", mountPath="/host", subPath="out"),)
    await one.create(
        "bad", initContainers=(init,), containers=(container(mounted=mounted),), volumes=(volume("d", emptyDir=EMPTY),)
    )
    await told(one, "bad", "Failed", 'Error: failed to prepare subPath for volumeMount "d" of container "c"')


async def test_mounts_travel_as_their_propagation_says(one: NodeUnderTest, tmp_path: Path) -> None:
    """And a volume in which a container has mounted things is removed without what lies behind them."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    shared = {"name": "d", "mountPath": "/d"}
    giver = container(
        "giver",
        "until [ -e /d/first ]; do sleep 0.1; done; "
        "mkdir -p /d/t /d/b; mount -t tmpfs t /d/t; touch /d/t/file; mount --bind /o /d/b; touch /d/ready; sleep 1000",
        mounted=(core_v1.VolumeMount(**shared, mountPropagation="Bidirectional"), "o=/o"),
        securityContext=core_v1.SecurityContext(privileged=True),
    )
    wait = "until [ -e /d/ready ]; do sleep 0.1; done; sleep 1000"
    taker = container("taker", wait, mounted=(core_v1.VolumeMount(**shared, mountPropagation="HostToContainer"),))
    private = container("private", f"touch /d/first; {wait}", mounted=("d=/d",))
    volumes = (
        volume("d", emptyDir=EMPTY),
        volume("o", hostPath=core_v1.HostPathVolumeSource(path=str(outside), type="Directory")),
    )
    # The one without propagation runs before anything is mounted, so that it has no copy of the mounts.
    await one.create("web", containers=(private, taker, giver), volumes=volumes)
    await shows(one, "web", "ls /d/t", "file", "taker")
    assert await sh(one, "web", "ls /d/t", "private") == ""
    assert await sh(one, "web", "ls /d/b", "taker") == "kept"
    await finished(one, "web")
    assert (outside / "kept").read_text() == "x"


async def test_a_volume_that_cannot_go_keeps_its_pod_until_it_can(one: NodeUnderTest) -> None:
    await one.create("web", containers=(container(mounted=("d=/d",)),), volumes=(volume("d", emptyDir=EMPTY),))
    await sh(one, "web", "touch /d/stuck")
    pod = await one.get("web")
    assert pod is not None
    file = one.folder / "kubelet/pods" / pod.metadata.uid / "volumes/kubernetes.io~empty-dir/d/stuck"
    await asyncio.to_thread(subprocess.run, ["chattr", "+i", file], check=True)
    try:
        await one.pods.delete(Key("default", "web"), grace=1)
        await told(one, "web", "FailedUnMount", "UnmountVolume.TearDown failed for the volumes of the Pod : ")
        assert await one.get("web") is not None
    finally:
        await asyncio.to_thread(subprocess.run, ["chattr", "-i", file], check=True)
    await one.until("web", gone)
    await until(lambda: not file.parents[3].exists(), "removed")


async def claimed(one: NodeUnderTest, name: str, path: Path, node: str = "n1") -> None:
    """A local volume on a node, and a claim that is bound to it as the controller would."""
    wanted = core_v1.NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=(node,))
    term = core_v1.NodeSelectorTerm(matchExpressions=(wanted,))
    claims, volumes = one.client.of(core_v1.PersistentVolumeClaim), one.client.of(core_v1.PersistentVolume)
    size = {"storage": "1Gi"}
    claim = await claims.create(
        core_v1.PersistentVolumeClaim(
            metadata=meta(name),
            spec=core_v1.PersistentVolumeClaimSpec(
                accessModes=("ReadWriteOnce",),
                volumeName=f"pv-{name}",
                storageClassName="",
                resources=core_v1.VolumeResourceRequirements(requests=size),
            ),
        )
    )
    await volumes.create(
        core_v1.PersistentVolume(
            metadata=meta_v1.ObjectMeta(name=f"pv-{name}"),
            spec=core_v1.PersistentVolumeSpec(
                capacity=size,
                accessModes=("ReadWriteOnce",),
                claimRef=core_v1.ObjectReference(namespace="default", name=name, uid=claim.metadata.uid),
                local=core_v1.LocalVolumeSource(path=str(path)),
                nodeAffinity=core_v1.VolumeNodeAffinity(required=core_v1.NodeSelector(nodeSelectorTerms=(term,))),
            ),
        )
    )


async def bind(one: NodeUnderTest, name: str) -> None:
    claims = one.client.of(core_v1.PersistentVolumeClaim)
    await claims.patch_raw(Key("default", name), {"status": {"phase": "Bound"}}, subresource="status")


async def test_a_claim_on_a_local_volume_outlives_its_pods(one: NodeUnderTest, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    await claimed(one, "c", disk)
    source = core_v1.PersistentVolumeClaimVolumeSource(claimName="c")
    spec: dict[str, Any] = {
        "containers": (container(mounted=("v=/v",)),),
        "volumes": (volume("v", persistentVolumeClaim=source),),
        "securityContext": core_v1.PodSecurityContext(fsGroup=3000),
    }
    await one.create("first", **spec)
    await told(one, "first", "FailedMount", "error processing PVC default/c: PVC is not bound")
    await bind(one, "c")
    assert await sh(one, "first", "echo kept > /v/file; stat -c %g /v/file") == "3000"
    await finished(one, "first")
    assert (disk / "file").read_text() == "kept\n"
    await one.create("second", **spec)
    assert await sh(one, "second", "cat /v/file") == "kept"
    await finished(one, "second")


async def test_a_claim_on_another_nodes_volume_is_refused(one: NodeUnderTest, tmp_path: Path) -> None:
    await claimed(one, "far", tmp_path, node="elsewhere")
    await bind(one, "far")
    source = core_v1.PersistentVolumeClaimVolumeSource(claimName="far")
    await one.create("web", volumes=(volume("v", persistentVolumeClaim=source),))
    said = 'MountVolume.NodeAffinity check failed for volume "pv-far" : no matching NodeSelectorTerms'
    await told(one, "web", "FailedMount", said)


async def test_fifty_config_maps_in_each_of_three_pods(one: NodeUnderTest) -> None:
    names = [f"m{number}" for number in range(50)]
    maps = one.client.of(core_v1.ConfigMap)
    for name in names:
        await maps.create(core_v1.ConfigMap(metadata=meta(name), data={"data-1": name}))
    items = (core_v1.KeyToPath(key="data-1", path="data-1"),)
    volumes = tuple(volume(n, configMap=core_v1.ConfigMapVolumeSource(name=n, items=items)) for n in names)
    mounted = tuple(f"{name}=/etc/{name}" for name in names)
    pods = [f"p{number}" for number in range(3)]
    await asyncio.gather(*(one.create(pod, containers=(container(mounted=mounted),), volumes=volumes) for pod in pods))
    for pod in pods:
        assert await sh(one, pod, "cat /etc/m*/data-1") == "".join(sorted(names))
    for pod in pods:
        await finished(one, pod)


async def test_a_new_kubelet_goes_on_refreshing(one: NodeUnderTest) -> None:
    maps = one.client.of(core_v1.ConfigMap)
    await maps.create(core_v1.ConfigMap(metadata=meta("m"), data={"a": "1"}))
    await one.create(
        "web",
        containers=(container(mounted=("m=/m",)),),
        volumes=(volume("m", configMap=core_v1.ConfigMapVolumeSource(name="m")),),
    )
    assert await sh(one, "web", "cat /m/a") == "1"
    await one.stop_kubelet()
    await maps.patch_raw(Key("default", "m"), {"data": {"a": "2"}})
    await one.start_kubelet()
    await shows(one, "web", "cat /m/a", "2")
    await maps.patch_raw(Key("default", "m"), {"data": {"a": "3"}})
    await shows(one, "web", "cat /m/a", "3")


async def test_an_image_is_a_volume_that_nobody_writes_to(one: NodeUnderTest) -> None:
    """A view of the image's layers by containerd's own API, which 1.6 has in place of CRI's image mounts."""
    reference = "docker.io/library/busybox:test"
    source = core_v1.ImageVolumeSource(reference=reference, pullPolicy="IfNotPresent")
    mounted = ("i=/i", core_v1.VolumeMount(name="i", mountPath="/bin-only", subPath="bin"))
    pod = await one.create("web", containers=(container(mounted=mounted),), volumes=(volume("i", image=source),))
    said = await sh(
        one, "web", "ls -d /i/bin/sh /bin-only/sh; touch /i/new; grep -c ' /i overlay ro,.*noexec' /proc/mounts"
    )
    assert said.splitlines() == ["/bin-only/sh", "/i/bin/sh", "1", "touch: /i/new: Read-only file system"]
    await told(one, "web", "Pulled", f'Container image "{reference}" already present on machine')
    image = await one.runtime.image(reference)
    assert image is not None
    mounts = (await one.until("web", running)).status.containerStatuses[0].volumeMounts
    expected = core_v1.VolumeStatus(image=core_v1.ImageVolumeStatus(imageRef=image.id))
    assert [(m.name, m.volumeStatus) for m in mounts] == [("i", expected)] * 2
    assert f"{pod.metadata.uid}-i" in one.containerd.ctr("snapshots", "ls")
    await finished(one, "web")
    assert f"{pod.metadata.uid}-i" not in one.containerd.ctr("snapshots", "ls")


async def test_an_image_volume_that_cannot_be_had_is_the_containers_trouble(one: NodeUnderTest) -> None:
    source = core_v1.ImageVolumeSource(reference="127.0.0.1:9/none:1", pullPolicy="Never")
    await one.create("web", containers=(container(mounted=("i=/i",)),), volumes=(volume("i", image=source),))

    def waits(pod: core_v1.Pod | None) -> bool:
        state = pod.status.containerStatuses[0].state if pod and pod.status.containerStatuses else None
        return state is not None and state.waiting is not None and state.waiting.reason == "ErrImageNeverPull"

    await one.until("web", waits)
    await finished(one, "web")


async def sign(one: NodeUnderTest, name: str) -> certificates_v1.PodCertificateRequest:
    """Issues what a Pod's only request asks for, as a signer outside would."""
    requests = one.client.of(certificates_v1.PodCertificateRequest)

    async def asked() -> bool:
        found = await requests.list("default")
        return any(r.spec.podName == name and not r.status.conditions for r in found.items)

    await until(asked, "asked")
    (request,) = [r for r in (await requests.list("default")).items if not r.status.conditions]
    authority = new_authority("signer", one.clock.now())
    key = x509.load_der_x509_csr(base64.b64decode(request.spec.stubPKCS10Request)).public_key()
    began = datetime.fromtimestamp(int(one.clock.now()), UTC)
    ends = began + timedelta(seconds=request.spec.maxExpirationSeconds or 0)
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(authority.certificate.subject)
    builder = builder.public_key(key).serial_number(7).not_valid_before(began).not_valid_after(ends)
    chain = builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    times = {"notBefore": began, "notAfter": ends, "beginRefreshAt": ends - timedelta(minutes=20)}
    now = rfc3339(one.clock.now())
    condition = {"type": "Issued", "status": "True", "reason": "Done", "message": "", "lastTransitionTime": now}
    status = {
        "certificateChain": chain,
        "conditions": [condition],
        **{name: rfc3339(at.timestamp()) for name, at in times.items()},
    }
    await requests.patch_raw(key_of(request), {"status": status}, subresource="status")
    return request


async def test_a_pod_gets_a_certificate_from_a_signer_and_whom_it_trusts(one: NodeUnderTest) -> None:
    account = core_v1.ServiceAccount(metadata=meta("default"))
    await one.client.of(core_v1.ServiceAccount).create(account)
    trusted = certificate_pem(new_authority("ca", one.clock.now()).certificate).decode()
    await one.client.of(certificates_v1.ClusterTrustBundle).create(
        certificates_v1.ClusterTrustBundle(
            metadata=meta_v1.ObjectMeta(name="example.com:s:one"),
            spec=certificates_v1.ClusterTrustBundleSpec(signerName="example.com/s", trustBundle=trusted),
        )
    )
    own = core_v1.PodCertificateProjection(
        signerName="example.com/s",
        keyType="ECDSAP256",
        maxExpirationSeconds=3600,
        credentialBundlePath="own.pem",
        userAnnotations={"example.com/path": "x"},
    )
    ca = core_v1.ClusterTrustBundleProjection(
        signerName="example.com/s", labelSelector=meta_v1.LabelSelector(), path="ca.pem"
    )
    sources = (core_v1.VolumeProjection(podCertificate=own), core_v1.VolumeProjection(clusterTrustBundle=ca))
    await one.create(
        "web",
        containers=(container(mounted=("p=/p",)),),
        volumes=(volume("p", projected=core_v1.ProjectedVolumeSource(sources=sources)),),
        serviceAccountName="default",
    )
    request = await sign(one, "web")
    assert (request.spec.nodeName, request.spec.maxExpirationSeconds) == ("n1", 3600)
    assert request.spec.unverifiedUserAnnotations == {"example.com/path": "x"}
    assert await sh(one, "web", "grep -- ---- /p/own.pem; stat -L -c %a /p/own.pem") == "\n".join(
        [f"-----{end} {what}-----" for what in ("PRIVATE KEY", "CERTIFICATE") for end in ("BEGIN", "END")] + ["644"]
    )
    assert await sh(one, "web", "cat /p/ca.pem") == trusted.strip()
    await finished(one, "web")
