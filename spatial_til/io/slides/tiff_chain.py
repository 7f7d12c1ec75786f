"""The chain of directories of a TIFF, walked before a parser does: one that runs in a circle has no end."""

from __future__ import annotations

import struct
from pathlib import Path

from spatial_til.errors import SlideError

#: No slide has as many planes.
MAX_DIRECTORIES = 100_000
_MAX_TAGS = 4096  # more are no directory
#: By version: the format of an offset and of the number of entries, and the bytes of an entry.
_LAYOUTS = {42: ("I", "H", 12), 43: ("Q", "Q", 20)}


def check_directories(path: Path) -> None:
    """Refuse a TIFF whose directories follow each other in a circle, or without end.

    What is no TIFF, or is cut short, is left to the parser.

    Raises
    ------
    SlideError
        A directory comes twice, or there are more than 100,000.
    """
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        version = struct.unpack(f"{order}H", head[2:4])[0] if len(head) == 16 else 0
        offset_format, count_format, entry = _LAYOUTS.get(version, ("", "", 0))
        if not entry:
            return
        offset_size, count_size = struct.calcsize(f"{order}{offset_format}"), struct.calcsize(f"{order}{count_format}")
        at = struct.unpack_from(f"{order}{offset_format}", head, 8 if version == 43 else 4)[0]
        seen: set[int] = set()
        while at:
            if at in seen or len(seen) == MAX_DIRECTORIES:
                msg = f"{path}: its directories run in a circle; the file is damaged. Copy it again."
                raise SlideError(msg)
            seen.add(at)
            file.seek(at)
            count = file.read(count_size)
            n = struct.unpack(f"{order}{count_format}", count)[0] if len(count) == count_size else _MAX_TAGS + 1
            if n > _MAX_TAGS:
                return
            file.seek(n * entry, 1)
            following = file.read(offset_size)
            at = struct.unpack(f"{order}{offset_format}", following)[0] if len(following) == offset_size else 0
