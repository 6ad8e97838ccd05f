"""YAML as kubectl and the API server read and write it: everything is in _pyyaml.py, imported when it is first used.

PyYAML takes a tenth of a short command's start, and most commands and most requests never see YAML.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.wire.codecs._pyyaml import (
        Document,
        decode,
        decode_strictly,
        documents,
        dump,
        encode,
        load,
        load_all,
    )

__all__ = ["Document", "decode", "decode_strictly", "documents", "dump", "encode", "load", "load_all"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(name)
        found = globals()[name] = getattr(import_module("pybernetes.wire.codecs._pyyaml"), name)
        return found
