"""One run at a time on a folder: a lock file that names its holder and that no dead run can leave shut."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import psutil
from pydantic import BaseModel, Field

from spatial_til.errors import SpatialTilError

HEARTBEAT_S = 30.0
STALE_AFTER_S = 300.0


class _Holder(BaseModel):
    """Who holds a lock, as the file says it."""

    pid: Annotated[int, Field(gt=0, lt=2**31)]
    host: str
    created: Annotated[float, Field(gt=0, lt=1e11)]  # seconds since 1970

    def __str__(self) -> str:
        start = datetime.fromtimestamp(self.created, UTC).isoformat(sep=" ", timespec="seconds")
        return f"process {self.pid} on {self.host}, started {start}"


@contextmanager
def locked(path: Path, busy: str = "") -> Iterator[None]:
    """Hold the lock `path` for the time of the block.

    Parameters
    ----------
    busy
        What the refusal says before it names the holder; by default, that a run is under way.

    The kernel's lock on the file ends with its process, so a killed run leaves no closed door. Where the
    file system has no such locks, or the holder ran on another computer, what the file says decides: a
    process that is gone, or a file not touched for five minutes (the holder touches it every half minute),
    is a lock left behind.

    Raises
    ------
    SpatialTilError
        Where another run holds it; the message names process, computer and start.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _take(path, busy)
    stop = threading.Event()
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_me()).encode(), 0)
        threading.Thread(target=_touch, args=(descriptor, stop), daemon=True).start()
        yield
    finally:
        stop.set()
        path.unlink(missing_ok=True)
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """Return who holds a lock, in words; None where nobody does."""
    try:
        entry = _Holder.model_validate_json(path.read_bytes())
        return str(entry) if _is_alive(entry, path) else None
    except (OSError, ValueError):
        return None


def _take(path: Path, busy: str) -> int:
    """Return the open lock file, locked by us and still the one that has the name."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _require_free(descriptor, path, busy)
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            pass  # the holder finished and took the file away in between
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _require_free(descriptor: int, path: Path, busy: str) -> None:
    free = _flock(descriptor)
    text = os.pread(descriptor, 4096, 0)
    if not free or _held(text, path):
        raise SpatialTilError(_refusal(text, path, busy))


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks on this file system
    return True


def _me() -> dict[str, Any]:
    process = psutil.Process()
    return {"pid": process.pid, "host": socket.gethostname(), "created": process.create_time()}


def _held(text: bytes, path: Path) -> bool:
    try:
        return _is_alive(_Holder.model_validate_json(text), path)
    except ValueError:
        return False  # empty: a run killed before it had written its name


def _is_alive(entry: _Holder, path: Path) -> bool:
    if entry.host != socket.gethostname():
        return time.time() - path.stat().st_mtime < STALE_AFTER_S
    try:
        return bool(abs(psutil.Process(entry.pid).create_time() - entry.created) < 1.0)
    except psutil.Error:
        return False


def _refusal(text: bytes, path: Path, busy: str) -> str:
    try:
        who = str(_Holder.model_validate_json(text))
    except ValueError:
        who = "another process"
    if busy:
        return f"{busy} ({who}): close it there first"
    return f"{path.parent.parent}: a run is under way here ({who}): wait for it, or give another --out"


def _touch(descriptor: int, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        try:
            os.utime(descriptor)
        except OSError:
            return
