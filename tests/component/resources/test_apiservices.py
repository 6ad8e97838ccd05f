"""APIServices: those of this server, those that name a Service, and what extension servers are told about clients."""

from pybernetes.apiserver import authentication_config, local_apiservices
from pybernetes.apiserver.config import Config, FrontProxy

PATH = "/apis/apiregistration.k8s.io/v1/apiservices"
MANAGED = "kube-aggregator.kubernetes.io/automanaged"


async def cells(api, name=""):
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    _, found = await api("GET", f"{PATH}/{name}", accept=table)
    return [column["name"] for column in found["columnDefinitions"]], [row["cells"] for row in found["rows"]]


async def test_every_group_version_has_its_apiservice(api):
    _, found = await api("GET", PATH)
    named = {item["metadata"]["name"]: item for item in found["items"]}
    assert {"v1.", "v1.apps", "v1.apiextensions.k8s.io", "v1.autoscaling", "v2.autoscaling"} <= set(named)
    assert "v1.apiregistration.k8s.io" not in named
    assert named["v1."]["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    apps = named["v1.apps"]
    assert apps["spec"] == {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
    assert apps["metadata"]["labels"] == {MANAGED: "onstart"}
    (condition,) = apps["status"]["conditions"]
    del condition["lastTransitionTime"]
    assert condition == {
        "type": "Available",
        "status": "True",
        "reason": "Local",
        "message": "Local APIServices are always available",
    }
    names, rows = await cells(api, "v1.apps")
    assert names == ["Name", "Service", "Available", "Age"]
    assert rows[0][:3] == ["v1.apps", "Local", "True"]


async def test_apiservices_follow_what_is_served(api):
    storage, path = api.server.storage, f"{PATH}/v1.apps"
    await api("DELETE", path)
    await api("PATCH", f"{PATH}/v1.batch", {"spec": {"versionPriority": 7}})
    group = {"group": "gone.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 100}
    for name, labels in (("v1.gone.example.com", {MANAGED: "true"}), ("v2.gone.example.com", {})):
        version = name.partition(".")[0]
        await api.made(PATH, {"metadata": {"name": name, "labels": labels}, "spec": {**group, "version": version}})
    await local_apiservices.ensure(storage, storage.catalog)
    assert (await api("GET", path))[0] == 200
    assert (await api("GET", f"{PATH}/v1.batch"))[1]["spec"]["versionPriority"] == 15
    assert (await api("GET", f"{PATH}/v1.gone.example.com"))[0] == 404
    assert (await api("GET", f"{PATH}/v2.gone.example.com"))[0] == 200


async def test_an_apiservice_of_a_service_is_not_available(api):
    spec = {"group": "x.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15}
    service = {"namespace": "default", "name": "web"}
    body = {"metadata": {"name": "v1.x.example.com"}, "spec": {**spec, "service": service}}
    made = await api.made(PATH, body)
    assert made["spec"]["service"]["port"] == 443
    (condition,) = made["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "ServiceNotFound")
    assert condition["message"] == 'service/web in "default" is not present'
    assert (await cells(api, "v1.x.example.com"))[1][0][1:3] == ["default/web", "False (ServiceNotFound)"]


async def test_apiservices_are_checked(api):
    spec = {"group": "A", "version": "v1", "groupPriorityMinimum": 20001, "versionPriority": 0, "caBundle": "YQ=="}
    found = await api.faults("POST", PATH, {"metadata": {"name": "x"}, "spec": spec})
    assert [fault.partition(":")[0] for fault in found] == [
        "metadata.name",
        "spec.group",
        "spec.groupPriorityMinimum",
        "spec.versionPriority",
        "spec.caBundle",
    ]
    assert found[0] == 'metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.A"'


async def test_extension_servers_are_told_about_clients(api):
    proxy = FrontProxy(
        client_ca="FRONT\n",
        allowed_names=("front-proxy-client",),
        username_headers=("X-Remote-User",),
        group_headers=("X-Remote-Group",),
        extra_headers_prefix=("X-Remote-Extra-",),
    )
    where = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    await authentication_config.ensure(api.server.storage, Config())
    assert (await api("GET", where))[0] == 404
    await authentication_config.ensure(api.server.storage, Config(client_ca="ONE\n", front_proxy=proxy))
    _, found = await api("GET", where)
    assert found["data"] == {
        "client-ca-file": "ONE\n",
        "requestheader-client-ca-file": "FRONT\n",
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }
    await authentication_config.ensure(api.server.storage, Config(client_ca="TWO\n", front_proxy=proxy))
    _, found = await api("GET", where)
    assert (found["data"]["client-ca-file"], found["data"]["requestheader-client-ca-file"]) == ("ONE\nTWO\n", "FRONT\n")
