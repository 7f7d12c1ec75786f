"""May two biopsies be compared? Names what differs if not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spatial_til.model import SlideScore

#: Joins the settings of pooled slides that were not scored alike.
MIXED = " | "


class Comparability(NamedTuple):
    """What differs, in words, and the flags that say so; no differences means comparable."""

    differences: tuple[str, ...]
    flags: tuple[str, ...]


def comparability(reference: SlideScore, target: SlideScore, *, allow_cross_batch: bool) -> Comparability:
    """Compare how two biopsies were stained and scored.

    Parameters
    ----------
    reference, target
        Scores of the two biopsies. Every entry of `settings` must agree; a setting that one lacks differs.
    allow_cross_batch
        Whether different staining batches may be compared. Thresholds belong to batches, so they may
        then differ as well; anything else may not.

    Returns
    -------
    Comparability
        `cross_batch` stands for different batches, also allowed ones; `not_comparable` for all else.
    """
    batches = _values(reference.meta.batch, target.meta.batch)
    cross_batch = len(batches) > 1
    differences: list[str] = []
    flags: list[str] = []
    if cross_batch:
        flags.append("cross_batch")
        if not allow_cross_batch:
            differences.append(f"the staining batches differ ({_versus(reference.meta.batch, target.meta.batch)})")
    differing = [
        name
        for name in sorted({*reference.settings, *target.settings})
        if len(_values(reference.settings.get(name), target.settings.get(name))) > 1
        and not (cross_batch and allow_cross_batch and name.startswith("threshold"))
    ]
    if differing:
        flags.append("not_comparable")
    differences += [
        f"{name} differs ({_versus(reference.settings.get(name), target.settings.get(name))})" for name in differing
    ]
    return Comparability(tuple(differences), tuple(flags))


def merged(values: Sequence[str]) -> str:
    """Return the one value that slides share, or all of them joined where they differ."""
    return MIXED.join(sorted(set(values)))


def _values(*settings: str | None) -> set[str | None]:
    """Return the distinct values in one or two settings, those of pooled slides taken apart."""
    return {part for setting in settings for part in (setting.split(MIXED) if setting else [setting])}


def _versus(reference: str | None, target: str | None) -> str:
    """Return both values in words."""
    return f"{reference or 'not recorded'} against {target or 'not recorded'}"
