"""Node tests need root and the Debian packages of a node; without them they are skipped with the reason."""

from pathlib import Path

import pytest

from pybernetes.localcluster.errors import MissingRequirement
from pybernetes.localcluster.sandbox import check_machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    try:
        check_machine(Path("/var/lib"))
        reason = ""
    except MissingRequirement as error:
        reason = str(error)
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.root)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
