"""docs/reference/testing.md has every public name, option and word."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from pybernetes import testing
from pybernetes.testing import Cluster, SyncCluster
from pybernetes.testing.options import Options

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "testing.md").read_text()
PARTS = {"cluster", "do", "inside", "options", "running"}
"""Attributes for the project itself."""


def words(kind: type) -> set[str]:
    made = vars(kind(nodes=0)).keys()
    return {name for name in (*dir(kind), *made) if not name.startswith("_")} - PARTS


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_is_there(name: str) -> None:
    assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", PAGE)


@pytest.mark.parametrize("option", [option.name for option in fields(Options) if option.init])
def test_every_option_is_there(option: str) -> None:
    assert f"\n| `{option}` | `" in PAGE


@pytest.mark.parametrize("word", sorted(words(Cluster) | words(SyncCluster)))
def test_every_word_is_there(word: str) -> None:
    section = PAGE.partition("## Words")[2].partition("\n## ")[0]
    assert re.search(rf"^\|[^|]*`{word}[`(]", section, re.M)
