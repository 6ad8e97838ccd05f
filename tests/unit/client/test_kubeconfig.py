import asyncio
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from pybernetes.client import kubeconfig
from pybernetes.client.execplugin import ExecToken, plugin_of
from pybernetes.client.kubeconfig import Cluster, ConfigError, Context, Kubeconfig, Overrides, User

FIRST = """
apiVersion: v1
kind: Config
clusters:
- name: a
  cluster: {server: "http://a:1", certificate-authority: ca.crt}
contexts:
- name: one
  context: {cluster: a, user: u, namespace: first}
current-context: one
users:
- name: u
  user: {token: secret}
"""
SECOND = """
clusters:
- {name: a, cluster: {server: "http://other"}}
- {name: b, cluster: {server: "http://b:2"}}
contexts:
- {name: two, context: {cluster: b, user: u}}
current-context: two
users: null
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "first").write_text(FIRST)
    (tmp_path / "second").write_text(SECOND)
    return {"KUBECONFIG": f"{tmp_path}/first:{tmp_path}/missing:{tmp_path}/second", "HOME": str(tmp_path)}


def test_the_first_file_that_says_something_wins(environ):
    config = kubeconfig.load(environ=environ)
    assert config.clusters["a"].server == "http://a:1"
    assert set(config.clusters) == {"a", "b"}
    assert config.current_context == "one"
    assert config.namespace() == "first"
    assert config.namespace("two") == ""


def test_relative_paths_are_relative_to_the_file_that_says_them(environ, tmp_path):
    cluster, user = kubeconfig.resolve(kubeconfig.load(environ=environ), Overrides())
    assert cluster.certificate_authority == str(tmp_path / "ca.crt")
    assert user.token == "secret"


def test_a_change_goes_back_to_the_file_it_came_from(environ, tmp_path):
    config = kubeconfig.load(environ=environ)
    contexts = {
        **config.contexts,
        "two": replace(config.contexts["two"], namespace="new"),
        "three": Context(cluster="b"),
    }
    kubeconfig.save(replace(config, contexts=contexts, current_context="three"), environ=environ)
    first, second = (yaml.safe_load((tmp_path / name).read_text()) for name in ("first", "second"))
    assert [c["name"] for c in first["contexts"]] == ["one", "three"]
    assert first["current-context"] == "three"
    assert second["contexts"] == [{"name": "two", "context": {"cluster": "b", "user": "u", "namespace": "new"}}]
    assert not (tmp_path / "missing").exists()
    assert (tmp_path / "first").stat().st_mode & 0o777 == 0o600
    assert kubeconfig.load(environ=environ).contexts == contexts


def test_without_any_file_it_is_empty_and_says_what_to_do(tmp_path):
    config = kubeconfig.load(environ={"HOME": str(tmp_path)})
    assert config == Kubeconfig()
    with pytest.raises(ConfigError, match="no configuration has been provided"):
        kubeconfig.resolve(config, Overrides())


def test_a_file_asked_for_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        kubeconfig.load(tmp_path / "nope")


@pytest.mark.parametrize("text", ["a: [", "clusters: 3", "- x"])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "c").write_text(text)
    with pytest.raises(ConfigError, match="error loading config file"):
        kubeconfig.load(tmp_path / "c")


def test_unknown_names_are_refused(environ):
    config = kubeconfig.load(environ=environ)
    with pytest.raises(ConfigError, match='context "nope" does not exist'):
        kubeconfig.resolve(config, Overrides(context="nope"))
    with pytest.raises(ConfigError, match='cluster "nope" does not exist'):
        kubeconfig.resolve(config, Overrides(cluster="nope"))


def test_flags_count_before_files(environ):
    overrides = Overrides(server="127.0.0.1:9", token="mine")
    cluster, user = kubeconfig.resolve(kubeconfig.load(environ=environ), overrides)
    assert (cluster.server, user.token) == ("http://127.0.0.1:9", "mine")


def test_the_token_goes_with_every_request(tmp_path):
    async def main() -> bytes:
        seen = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.set_result(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            config = kubeconfig.new("k", Cluster(server=f"http://127.0.0.1:{port}"), "u", User(token="abc"))
            transport = kubeconfig.transport_of(config)
            await transport(kubeconfig.Request("GET", "/api"))
            await transport.aclose()
        return await seen

    assert b"authorization: Bearer abc" in asyncio.run(main())


async def test_an_exec_plugin_gives_a_token_that_is_kept_until_it_ends(tmp_path):
    credential = '{"status": {"token": "t%s", "expirationTimestamp": "2026-01-01T01:00:00Z"}}'
    script = tmp_path / "plugin"
    script.write_text(f"#!/bin/sh\necho x >> {tmp_path}/runs\nprintf '{credential}' $1$LETTER\n")
    script.chmod(0o755)
    settings = {"command": str(script), "args": ["a"], "env": [{"name": "LETTER", "value": "b"}]}
    tokens = ExecToken(plugin_of(settings))
    start = 1_767_225_600.0  # 2026-01-01T00:00:00Z
    assert await tokens.token(start) == "tab"
    assert await tokens.token(start + 3000) == "tab"
    assert (tmp_path / "runs").read_text() == "x\n"
    await tokens.token(start + 3590)
    tokens.refused()
    await tokens.token(start)
    assert (tmp_path / "runs").read_text() == "x\nx\nx\n"


async def test_a_plugin_that_is_not_there_says_what_to_install():
    tokens = ExecToken(plugin_of({"command": "/nope", "installHint": "Install it with X."}))
    with pytest.raises(ConnectionError, match=r"executable /nope cannot be run.*; Install it with X\."):
        await tokens.token(0)


def test_in_a_pod_its_own_account_is_used(tmp_path):
    (tmp_path / "token").write_text("t")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = kubeconfig.in_cluster(environ, tmp_path)
    assert found is not None
    assert found[0].server == "https://[fd00::1]:443"
    assert kubeconfig.in_cluster({}, tmp_path) is None
