"""What a run has done so far, one line an event: read by `status` from another shell, and after a kill.

Lines are short and appended whole; a line torn by a kill is left out when read. Tiles are told through one
tiny file a slide, since whoever measures may sit on another computer.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

TILES_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """One step of one slide: `what` is started, done, kept or failed."""

    stage: str
    slide_id: str
    what: str
    seconds: float | None = None
    peak_mib: float | None = None
    message: str = ""


_EVENT = TypeAdapter(Event)


def append_event(path: Path, event: Event) -> None:
    """Append one event. A disk that is full costs the event, never the run."""
    with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
        # The line break comes first: what a kill tore off above stays on its own line.
        file.write("\n" + json.dumps(asdict(event), ensure_ascii=False))


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a journal in order; none where there is no journal."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            yield _EVENT.validate_json(line)


def tell_tiles(path: Path) -> Callable[[int, int], None]:
    """Return a function that takes tiles done and tiles in all, and leaves them in a file for others to see."""
    told = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if done == total or time.monotonic() - told > TILES_EVERY_S:
            told = time.monotonic()
            with contextlib.suppress(OSError):
                path.write_text(f"{done}/{total}", encoding="utf-8")

    return tell


def read_tiles(path: Path) -> tuple[int, int] | None:
    """Return tiles done and tiles in all of a slide being measured; None where nothing is told."""
    try:
        done, total = path.read_text(encoding="utf-8").split("/")
        return int(done), int(total)
    except (OSError, ValueError):
        return None
