"""What tests of commands share."""

import asyncio

import pytest

from pybernetes.cmd import pybernetes as command


@pytest.fixture
def run(capsys):
    """Runs `pybernetes store` in this process; (code, stdout, stderr)."""

    def ran(*words):
        options = command._parser().parse_args(["store", *(str(word) for word in words)])
        code = asyncio.run(options.run(options))
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran
