"""GET /logs/: the files below /var/log, as a web server shows a folder. Links lead nowhere outside of it."""

import asyncio
import mimetypes
import stat
from collections.abc import AsyncIterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from pybernetes.api.errors import Forbidden, NotFound
from pybernetes.wire.http import Headers, Response

FOLDER = Path("/var/log")
_CHUNK = 256 * 1024


async def system_log(path: str, folder: Path = FOLDER) -> Response:
    """What lies at `path` below `folder`. Raises NotFound, Forbidden."""
    found, body, kind = await asyncio.to_thread(_look, folder, path)
    if found is not None:
        return Response(200, Headers([("content-type", kind)]), _read(found))
    if kind:
        return Response(200, Headers([("content-type", kind)]), body)
    return Response(301, Headers([("location", f"{path.rstrip('/').rpartition('/')[2]}/")]))


def _look(folder: Path, path: str) -> tuple[Path | None, bytes, str]:
    """A file to read, or a folder's page and its type; neither: the folder is meant, and its slash is missing."""
    try:
        root = folder.resolve(strict=True)
        found = root.joinpath(path.strip("/")).resolve(strict=True)
        mode = found.stat().st_mode
        if not found.is_relative_to(root):
            raise NotFound("404 page not found")
        if stat.S_ISDIR(mode):
            ready = not path or path.endswith("/")
            return None, _page(found) if ready else b"", "text/html; charset=utf-8" if ready else ""
        if not stat.S_ISREG(mode):
            raise Forbidden("403 Forbidden")
    except PermissionError:
        raise Forbidden("403 Forbidden") from None
    except (OSError, ValueError):
        raise NotFound("404 page not found") from None
    kind = mimetypes.guess_type(found.name)[0] or "text/plain"
    return found, b"", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _page(folder: Path) -> bytes:
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir())
    links = [f'<a href="{quote(name)}">{escape(name)}</a>' for name in names]
    return "\n".join(
        ["<!doctype html>", '<meta name="viewport" content="width=device-width">', "<pre>", *links, "</pre>", ""]
    ).encode()


async def _read(file: Path) -> AsyncIterator[bytes]:
    opened = await asyncio.to_thread(file.open, "rb")
    with opened:
        while data := await asyncio.to_thread(opened.read, _CHUNK):
            yield data
