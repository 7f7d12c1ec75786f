"""What a section of the page is made of: bars, tables, figures, and slow results that are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Bar:
    """Something that was asked for, and what was found."""

    what: str
    wanted: str
    found: str
    reached: bool


@dataclass(frozen=True)
class Section:
    """One part of the page; `bars` and `limits` are also told at its top."""

    title: str
    text: str
    bars: tuple[Bar, ...] = ()
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """How the page is made: `work` keeps slow results, `results` holds what other commands measured, if anything."""

    work: Path
    images: Path
    results: Path | None = None
    quick: bool = False

    def kept(self, name: str, make: Callable[[], Any], *, of: Iterable[str]) -> Any:
        """Return what `make` returned when the files or folders `of` were what they are now, or returns."""
        size = "quick" if self.quick else "full"
        path = self.work / f"{name}-{size}-{_digest(of)}.json"
        if not path.exists():
            found = make()
            self.work.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(found), encoding="utf-8")
            part.replace(path)
        return json.loads(path.read_text(encoding="utf-8"))

    def save(self, name: str, figure: Figure, alt: str) -> str:
        """Write a figure and return the Markdown that shows it."""
        self.images.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.images / f"{name}.png", dpi=120, metadata={"Software": None})
        return f"![{alt}](docs/images/validation/{name}.png)"


def _digest(of: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(of):
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def panels(n: int, width: float = 3.3, height: float = 2.7) -> tuple[Figure, list[Any]]:
    """Return a figure of n panels, three beside each other."""
    from matplotlib.figure import Figure

    cols = min(n, 3)
    rows = -(-n // cols)
    figure = Figure(figsize=(width * cols, height * rows), layout="constrained")
    axes = [figure.add_subplot(rows, cols, k + 1) for k in range(n)]
    for ax in axes:
        ax.grid(alpha=0.3)
    return figure, axes


def percent(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{100 * value:+.{digits}f} %"
