"""Files written whole or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

_PART = ".*.part*"


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the name only when all went well.

    A process killed in between leaves the last complete version, and a hidden ``.part`` file that
    `remove_parts` clears. Each writer has a part of its own, so two that write the same file (a task
    tried again on a cluster while the first is thought dead) cannot mix. The name keeps its suffix,
    since some writers choose by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def nameless(folder: Path) -> BinaryIO:
    """Open a file for reading and writing on the disk of a folder; it is gone when it is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))


def remove_parts(folder: Path) -> None:
    """Remove what killed writers left in a folder and the folders in it. Nobody may be writing there."""
    for part in [*folder.glob(_PART), *folder.glob(f"*/{_PART}")]:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes to a file, whole or not at all."""
    with writing(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to a file, line ends as they are, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))
