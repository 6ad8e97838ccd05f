"""All tests: the same examples in every run. Chance belongs to the soaks, which print their seed (`make soak`).

With several workers (`pytest -n N --dist loadgroup`) the tests of a file stay together, and those that share what is one
on the machine: the clusters of tests/e2e and of the examples, the cluster of tests/node/conformance.
"""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

_HERE = Path(__file__).parent
_TOGETHER = {"e2e": "clusters", "examples": "clusters", "node/conformance": "conformance"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        file = item.path.relative_to(_HERE)
        group = next((name for folder, name in _TOGETHER.items() if file.is_relative_to(folder)), str(file))
        item.add_marker(pytest.mark.xdist_group(group))
