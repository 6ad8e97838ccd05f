"""The kubectls that tests are tried with: ours, and what else a machine has."""

import shutil
import sys
from pathlib import Path

import pytest

OURS = str(Path(sys.executable).with_name("kubectl"))


def machines_kubectl() -> str:
    """A kubectl of another make on this machine: anything on PATH that is not ours. Skips the test where there is none."""
    found = shutil.which("kubectl", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None or Path(found).resolve().parent == Path(OURS).parent.resolve():
        pytest.skip("no other kubectl on this machine (package kubernetes-client or google-cloud-cli)")
    return found
