"""The CNI language."""

import json

import pytest

from pybernetes.network.cni import Attached, CniError, add_result, loopback_result, parse_request, version_result


def _data(config: object = None, **variables: str) -> bytes:
    wanted = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/var/run/netns/x",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web",
    } | variables
    head = "".join(f"{k}={v}\n" for k, v in wanted.items())
    body = json.dumps(config if config is not None else {"cniVersion": "0.4.0", "type": "pybernetes"})
    return head.encode() + b"\n" + body.encode()


def test_a_request_is_read_with_its_pod() -> None:
    request = parse_request(_data())
    assert (request.command, request.container, request.interface) == ("ADD", "c1", "eth0")
    assert request.pod == "default/web"


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (_data(CNI_COMMAND="MOVE"), 4, "CNI_COMMAND 'MOVE' is unknown"),
        (_data(CNI_CONTAINERID=""), 4, "CNI_CONTAINERID is empty"),
        (_data(CNI_NETNS=""), 4, "CNI_NETNS is empty"),
        (_data(CNI_IFNAME="x" * 16), 4, "is no interface name"),
        (_data({"cniVersion": "9.0.0"}), 1, "cniVersion 9.0.0 is not supported"),
        (_data([]), 6, "not a JSON object"),
        (b"CNI_COMMAND=ADD\n\n{", 6, "not JSON"),
        (b"CNI_COMMAND=ADD", 6, "without an empty line"),
    ],
)
def test_a_bad_request_is_refused_with_its_number(data: bytes, code: int, words: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_request(data)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert caught.value.wire("0.4.0")["code"] == code


def test_del_may_lack_the_namespace() -> None:
    assert parse_request(_data(CNI_COMMAND="DEL", CNI_NETNS="")).command == "DEL"


@pytest.mark.parametrize(("version", "has_family"), [("0.3.1", True), ("0.4.0", True), ("1.0.0", False)])
def test_results_speak_the_version_that_was_asked(version: str, has_family: bool) -> None:
    request = parse_request(_data({"cniVersion": version}))
    result = add_result(request, Attached("10.244.1.5", "pyb0", "aa:aa:aa:aa:aa:aa", "bb:bb:bb:bb:bb:bb"))
    assert result["cniVersion"] == version
    assert result["ips"][0]["address"] == "10.244.1.5/32"
    assert ("version" in result["ips"][0]) is has_family
    assert result["interfaces"][1] == {"name": "eth0", "mac": "bb:bb:bb:bb:bb:bb", "sandbox": "/var/run/netns/x"}


def test_loopback_hands_on_what_came_before() -> None:
    before = {"cniVersion": "0.4.0", "ips": []}
    assert loopback_result(parse_request(_data({"cniVersion": "0.4.0", "prevResult": before}))) == before
    assert loopback_result(parse_request(_data()))["ips"][0]["address"] == "127.0.0.1/8"


def test_version_names_what_is_spoken() -> None:
    assert version_result("0.4.0") == {
        "cniVersion": "0.4.0",
        "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0"],
    }
