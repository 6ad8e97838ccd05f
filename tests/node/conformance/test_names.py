"""Names, DNS and ports of Pods on the pod network, what the node refuses there, and a standard input that is used once."""

from tests.node.conformance.place import ready, running
from tests.node.conformance.pods import container, pod, shell


async def test_a_pod_is_named_as_its_spec_says(space):
    script = "hostname; cat /etc/hosts"
    plain = await space.output(pod("plain", shell(script)))
    assert plain.startswith("plain\n# Kubernetes-managed hosts file.\n")
    own = await space.output(pod("own", shell(script), hostname="mine", subdomain="sub"))
    full = f"mine.sub.{space.name}.svc.cluster.local"
    assert own.startswith("mine\n")
    assert f"\t{full}\tmine\n" in own
    whole = await space.output(pod("whole", shell(script), hostname="m", subdomain="s", setHostnameAsFQDN=True))
    assert whole.startswith(f"m.s.{space.name}.svc.cluster.local\n")
    other = await space.output(pod("other", shell(script), hostnameOverride="other.example"))
    assert other.startswith("other.example\n")
    assert other.endswith("\tother.example\n")


async def test_a_whole_name_that_is_too_long_is_an_event_and_the_pod_waits(space):
    made = await space.create("pods", pod("long", hostname="x" * 60, subdomain="sub", setHostnameAsFQDN=True))
    said = await space.event("long", "FailedCreatePodSandBox")
    assert said.startswith(
        "Failed to create pod sandbox: failed to construct FQDN from pod hostname and cluster domain,"
    )
    assert "is too long (64 characters is the max," in said
    assert (await space.get(made["metadata"]["name"]))["status"]["phase"] == "Pending"


async def test_user_namespaces_are_refused_with_an_event(space):
    await space.create("pods", pod("mapped", hostUsers=False))
    said = await space.event("mapped", "FailedCreatePodSandBox")
    assert said.endswith("can't set `spec.hostUsers: false`, runtime does not support user namespaces")


async def test_resolv_conf_follows_policy_and_limits(space):
    printed = await space.output(pod("first", container("cat", "/etc/resolv.conf")))
    assert f"search {space.name}.svc.cluster.local svc.cluster.local cluster.local" in printed
    assert "options ndots:5" in printed
    config = {"nameservers": [f"192.0.2.{n}" for n in range(3)], "searches": ["a.example"]}
    made = pod("more", container("cat", "/etc/resolv.conf"), dnsConfig=config)
    printed = await space.output(made)
    assert printed.count("nameserver ") == 3
    said = await space.event("more", "DNSConfigForming")
    assert said.startswith("Nameserver limits were exceeded, some nameservers have been omitted,")


async def test_safe_sysctls_of_the_network_are_set(space):
    sysctls = [{"name": "net.ipv4.ip_local_port_range", "value": "40000 41000"}]
    script = "cat /proc/sys/net/ipv4/ip_local_port_range"
    printed = await space.output(pod("p", shell(script), securityContext={"sysctls": sysctls}))
    assert printed.split() == ["40000", "41000"]


async def test_standard_input_is_closed_after_the_first_attach_where_the_spec_says_once(space):
    await space.create("pods", pod("once", shell("cat; echo over", stdin=True, stdinOnce=True)))
    await space.create("pods", pod("often", shell("cat; echo over", stdin=True)))
    for name in ("once", "often"):
        await space.until(name, running)
        target = f"{space.path('pods', name)}/attach?stdin=true&stdout=true"
        socket = await space.api.connect(target, ["v4.channel.k8s.io"])
        await socket.send(b"\x00hello\n")
        await space.says(name, "hello")
        await socket.close()
    await space.says("once", "over")
    assert ready(await space.get("often"))
