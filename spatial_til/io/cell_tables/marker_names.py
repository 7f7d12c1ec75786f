"""Markers as vendors spell them, told apart without regard to case, dashes or fluorophores."""

from __future__ import annotations

import re
from collections.abc import Sequence

TUMOR = "tumor"
_ALIASES = {
    "cd8a": "cd8", "cd8alpha": "cd8",
    "cd274": "pdl1", "b7h1": "pdl1",
    "tumour": "tumor", "tumorcell": "tumor", "tumorcells": "tumor", "tumourcell": "tumor", "tumourcells": "tumor",
}  # fmt: skip
_FLUOROPHORE = re.compile(r"\((?:[^()]*)\)|\bopal\s*\d+\b", re.IGNORECASE)
_NOT_NAME = re.compile(r"[^a-z0-9]")


def marker_key(name: str) -> str:
    """Return what two spellings of one marker have in common.

    Examples
    --------
    >>> marker_key("PDL1 (Opal 520)"), marker_key("CD8a"), marker_key("PD-L1"), marker_key("FoxP3")
    ('pdl1', 'cd8', 'pdl1', 'foxp3')
    """
    key = _NOT_NAME.sub("", _FLUOROPHORE.sub("", name).casefold())
    return _ALIASES.get(key, key)


def find_marker(name: str, markers: Sequence[str]) -> str | None:
    """Return the protocol's name of a vendor's marker; None where it is not in the panel."""
    key = marker_key(name)
    return next((marker for marker in markers if key and marker_key(marker) == key), None)
