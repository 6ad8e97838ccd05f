"""Known faults of upstream's controllers, one a file of scenarios/, in the words of scenario.py: none of them is ours."""

from pathlib import Path

import pytest
from tests.component.controllers.scenario import FOLDER, play


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_scenario(path: Path):
    play(path)
