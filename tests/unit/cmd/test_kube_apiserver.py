"""kube-apiserver's start: what is wrong is one line that says what to do, and nothing is left half made."""

import asyncio
import socket
import subprocess
import sys
import time

import pytest

from pybernetes.apiserver.config import InFlight
from pybernetes.cmd._daemon import StartError
from pybernetes.cmd.kube_apiserver import config_of, handed_over, main, parser
from pybernetes.localcluster.doors import open_doors
from pybernetes.store.sqlite import open_sqlite
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority


@pytest.fixture
def flags(tmp_path):
    authority = new_authority("test", time.time())
    leaf = Leaf("kube-apiserver", hosts=("127.0.0.1",), usages=("server auth",))
    certificate, key = issue(authority, leaf, time.time())
    (tmp_path / "tls.crt").write_bytes(certificate)
    (tmp_path / "tls.key").write_bytes(key)
    return [
        *("--bind-address", "127.0.0.1", "--secure-port", "0"),
        *("--tls-cert-file", str(tmp_path / "tls.crt"), "--tls-private-key-file", str(tmp_path / "tls.key")),
        *("--storage-path", str(tmp_path / "store.db")),
    ]


@pytest.fixture
def refused(capsys):
    """Runs the command, which must end with one line and code 1; that line."""

    def run(arguments):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 1
        lines = capsys.readouterr().err.splitlines()
        text = next(line for line in lines if line.startswith("kube-apiserver: "))
        assert "Traceback" not in "".join(lines)
        return text

    return run


def test_a_certificate_is_needed_and_must_fit(flags, tmp_path, refused):
    assert "--tls-cert-file" in refused(["--secure-port", "0"])
    (tmp_path / "tls.key").write_text("not a key")
    assert "cannot use the serving certificate" in refused(flags)
    (tmp_path / "tls.key").unlink()
    assert "cannot use the serving certificate" in refused(flags)
    assert not (tmp_path / "store.db").exists()


def test_a_taken_port_is_named(flags, tmp_path, refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags[3] = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{flags[3]}: Address already in use" in refused(flags)
    assert not (tmp_path / "store.db").exists()


def test_a_store_that_cannot_be_opened_is_named(flags, tmp_path, refused):
    assert 'there is no store "paper"' in refused([*flags, "--storage-backend", "paper"])
    with asyncio.Runner() as runner:
        store = runner.run(open_sqlite(str(tmp_path / "store.db")))
        assert f"cannot open the store {tmp_path / 'store.db'}" in refused(flags)
        runner.run(store.close())


def test_etcd_is_chosen_by_the_name_that_upstream_has_for_it(flags, refused, monkeypatch):
    etcd = [*flags, "--storage-backend", "etcd3"]
    assert "give --etcd-servers=https://HOST:2379" in refused(etcd)
    assert '"10.0.0.5" is no server; wanted is http://HOST:PORT' in refused([*etcd, "--etcd-servers", "10.0.0.5"])
    servers = [*etcd, "--etcd-servers", "https://10.0.0.5:2379"]
    assert "give both --etcd-certfile and --etcd-keyfile" in refused([*servers, "--etcd-keyfile", "x"])
    assert "cannot read /missing/ca.crt: No such file" in refused([*servers, "--etcd-cafile", "/missing/ca.crt"])
    for name in [name for name in sys.modules if name.startswith("pybernetes.store.")]:
        if "etcd" in name:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grpc", None)
    assert "install it with `pip install 'pybernetes[etcd]'`" in refused(servers)


def test_grpc_is_imported_only_where_etcd_is_chosen():
    code = "import sys; from pybernetes.cmd.kube_apiserver import main; print('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_bad_values_of_flags_are_named(flags, tmp_path, refused):
    assert "Nonsense" in refused([*flags, "--enable-admission-plugins", "Nonsense"])
    assert 'no authorization mode "Nonsense"' in refused([*flags, "--authorization-mode", "Nonsense"])
    assert "10.0.0.0/99" in refused([*flags, "--service-cluster-ip-range", "10.0.0.0/99"])
    assert "missing.key" in refused([*flags, "--service-account-signing-key-file", str(tmp_path / "missing.key")])
    (tmp_path / "tokens").write_text("only-a-token\n")
    assert "line 1 must be token,user,uid" in refused([*flags, "--token-auth-file", str(tmp_path / "tokens")])


async def test_a_socket_is_handed_over_as_often_as_it_is_asked_for(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as held:
        (server,) = await open_doors({"door": held.fileno()}, str(tmp_path))
        async with server:
            for _ in range(2):
                (got,) = await asyncio.to_thread(handed_over, tmp_path / "door.sock")
                assert got.getsockname() == held.getsockname()
                got.close()
    with pytest.raises(StartError, match="No such file"):
        handed_over(tmp_path / "none.sock")


def test_durations_of_flags_count(flags):
    words = ["--request-timeout=1m30s", "--event-ttl=2h", "--etcd-compaction-interval=10m", "--min-request-timeout=600"]
    times = config_of(parser().parse_args([*flags, *words])).times
    assert (times.request, times.event, times.compaction, times.watch) == (90, 7200, 600, 600)


def test_history_is_bounded_by_flags_that_may_be_zero(flags):
    found = config_of(parser().parse_args(flags))
    assert (found.times.compaction, found.history_limit) == (300, 100_000)
    words = ["--etcd-compaction-interval=0", "--storage-history-limit=0"]
    found = config_of(parser().parse_args([*flags, *words]))
    assert (found.times.compaction, found.history_limit) == (0, 0)
    with pytest.raises(SystemExit):
        parser().parse_args([*flags, "--storage-history-limit=-1"])


def test_requests_in_flight_are_bounded_as_upstreams_flags_say(flags):
    assert config_of(parser().parse_args(flags)).in_flight == InFlight(400, 200, True)
    words = ["--max-requests-inflight=0", "--max-mutating-requests-inflight=0"]
    off = config_of(parser().parse_args([*flags, *words, "--enable-priority-and-fairness=false"])).in_flight
    assert off == InFlight(0, 0, False)
    with pytest.raises(StartError, match=r"MaxMutatingRequestsInFlight=0; they must add up to something positive"):
        config_of(parser().parse_args([*flags, *words]))
    with pytest.raises(SystemExit):
        parser().parse_args([*flags, "--max-requests-inflight=-1"])
