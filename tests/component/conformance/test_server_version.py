"""The server's version: upstream's apimachinery/server_version.go."""

import re

import pytest


@pytest.mark.conformance("[sig-api-machinery] server version should find the server version [Conformance]")
async def test_major_and_minor_are_whole_numbers(api):
    version = await api.ok("GET", "/version")
    assert re.fullmatch("[0-9]+", version["major"])
    assert re.fullmatch("[0-9]+", version["minor"])
    assert version["gitVersion"].startswith(f"v{version['major']}.{version['minor']}.")
