"""pybernetes storage-class: the add-on that other clusters may ask for."""

import msgspec
import pytest
import yaml

from pybernetes.api.types.storage_v1 import StorageClass
from pybernetes.cmd.pybernetes import main
from pybernetes.controllers.local_path_provisioner import STORAGE_CLASS


def test_what_is_printed_is_the_class_that_up_creates(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["pybernetes", "storage-class"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert msgspec.convert(yaml.safe_load(capsys.readouterr().out), StorageClass) == STORAGE_CLASS
