import argparse
import os

import pytest

from pybernetes.cmd._daemon import StartError
from pybernetes.cmd._signing import add_flags, signing_files
from pybernetes.wire.pki.certificates import new_authority

CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING = "kubernetes.io/kubelet-serving"


@pytest.fixture(scope="module")
def authorities():
    return [new_authority(name, 1_767_225_600.0) for name in ("first", "second")]


def put(folder, authority, name="ca"):
    for end, pem in (("crt", authority.pem), ("key", authority.key_pem)):
        fresh = folder / f"fresh.{end}"
        fresh.write_bytes(pem)
        os.replace(fresh, folder / f"{name}.{end}")


def files(*arguments):
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return signing_files(parser.parse_args(arguments))


def flags(folder, signer="", name="ca"):
    prefix = f"--cluster-signing-{signer}"
    return (f"{prefix}cert-file={folder}/{name}.crt", f"{prefix}key-file={folder}/{name}.key")


def test_without_flags_nobody_signs():
    assert files()(CLIENT) is None


def test_one_authority_signs_for_all(tmp_path, authorities):
    put(tmp_path, authorities[0])
    found = files(*flags(tmp_path))
    assert found(CLIENT).pem == found(SERVING).pem == authorities[0].pem


def test_a_renewed_authority_signs_from_then_on(tmp_path, authorities):
    put(tmp_path, authorities[0])
    found = files(*flags(tmp_path))
    put(tmp_path, authorities[1])
    assert found(CLIENT).pem == authorities[1].pem


@pytest.mark.parametrize("broken", [b"", b"half of it", None])
def test_files_that_cannot_be_read_leave_the_last_good_authority(tmp_path, authorities, broken):
    put(tmp_path, authorities[0])
    found = files(*flags(tmp_path))
    if broken is None:
        (tmp_path / "ca.key").unlink()
    else:
        (tmp_path / "ca.key").write_bytes(broken)
    assert found(CLIENT).pem == authorities[0].pem
    put(tmp_path, authorities[1])
    assert found(CLIENT).pem == authorities[1].pem


def test_a_signer_may_have_an_authority_of_its_own_and_others_then_none(tmp_path, authorities):
    put(tmp_path, authorities[1], "own")
    found = files(*flags(tmp_path, "kubelet-client-", "own"))
    assert found(CLIENT).pem == authorities[1].pem
    assert found(SERVING) is None


def test_one_for_all_and_one_for_a_signer_are_refused_together(tmp_path, authorities):
    put(tmp_path, authorities[0])
    with pytest.raises(StartError, match="at the same time"):
        files(*flags(tmp_path), *flags(tmp_path, "kubelet-client-"))
