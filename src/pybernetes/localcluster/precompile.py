"""Compiles Python sources for an image: run as a script of its own by system_image.py, without site and settings.

Reads JSON pairs (source file, path in the image) on standard input; writes each compiled file's length (8 bytes, big
endian) and bytes. Checked by nobody when it is loaded (PEP 552, unchecked): an image does not change.
"""

import importlib.util
import json
import marshal
import sys

_UNCHECKED = (0b01).to_bytes(4, "little")


def main() -> None:
    """Reads, compiles, writes."""
    for source, path in json.load(sys.stdin):
        with open(source, "rb") as file:
            text = file.read()
        try:
            code = compile(text, path, "exec", dont_inherit=True)
        except SyntaxError:  # a file that is meant for another Python: it is not imported here either
            data = b""
        else:
            head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(text)
            data = head + marshal.dumps(code)
        sys.stdout.buffer.write(len(data).to_bytes(8, "big") + data)


if __name__ == "__main__":
    main()
