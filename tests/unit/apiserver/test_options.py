"""Query parameters: read, checked, refused."""

import pytest

from pybernetes.api.errors import BadRequest, Invalid
from pybernetes.apiserver.options import list_options, revision, write_options


@pytest.mark.parametrize("text", ["-1", "x", "1" * 30, "\u0661"])
def test_revisions_are_numbers(text):
    with pytest.raises(BadRequest):
        revision(text)


def test_limits_are_numbers():
    assert list_options({"limit": ["5"]}, watch=False).limit == 5
    for text in ("x", "9" * 40):
        with pytest.raises(BadRequest):
            list_options({"limit": [text]}, watch=False)


@pytest.mark.parametrize(
    "query",
    [
        {"resourceVersionMatch": ["Exact"]},
        {"resourceVersionMatch": ["Exact"], "resourceVersion": ["0"]},
        {"resourceVersionMatch": ["Other"], "resourceVersion": ["1"]},
        {"resourceVersionMatch": ["Exact"], "resourceVersion": ["1"], "continue": ["x"]},
        {"sendInitialEvents": ["true"]},
    ],
)
def test_list_options_that_do_not_go_together(query):
    with pytest.raises(Invalid, match=r"ListOptions\.meta\.k8s\.io"):
        list_options(query, watch=False)


@pytest.mark.parametrize("query", [{"resourceVersionMatch": ["NotOlderThan"]}, {"sendInitialEvents": ["true"]}])
def test_watch_options_that_do_not_go_together(query):
    with pytest.raises(Invalid):
        list_options(query, watch=True)


@pytest.mark.parametrize(
    "query", [{"dryRun": ["x"]}, {"fieldManager": ["m" * 129]}, {"fieldManager": ["\x07"]}, {"fieldValidation": ["x"]}]
)
def test_write_options_are_checked(query):
    with pytest.raises(Invalid, match=r"CreateOptions\.meta\.k8s\.io"):
        write_options(query, "CreateOptions")


def test_force_belongs_to_apply():
    with pytest.raises(Invalid, match="may not be specified for non-apply patch"):
        write_options({"force": ["true"]}, "PatchOptions", patch=True)
