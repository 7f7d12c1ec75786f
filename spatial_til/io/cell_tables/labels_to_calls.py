"""Phenotype and class names of vendors to positive and negative cells by marker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.io.cell_tables.marker_names import TUMOR, find_marker
from spatial_til.model import BoolArray

_SEPARATORS = re.compile(r"[\s,;:&/|]+")
_WORDS = {"positive": True, "negative": False, "1+": True, "2+": True, "3+": True}


def parse_label(label: str, markers: Sequence[str]) -> Mapping[str, bool]:
    """Return the calls that a phenotype or class names.

    ``Positive`` and ``Negative`` (and QuPath's 1+ to 3+) belong to the marker before them, else to the
    panel's one marker; with several they name none.

    Examples
    --------
    >>> parse_label("CD8+ PDL1-", ["CD8", "PD-L1"])
    {'CD8': True, 'PD-L1': False}
    >>> parse_label("Tumor: Positive", ["tumor", "CD8"])
    {'tumor': True, 'CD8': True}
    """
    others = [m for m in markers if m != TUMOR]
    calls: dict[str, bool] = {}
    previous = None
    for token in _SEPARATORS.split(re.sub(r"(?<=[A-Za-z0-9])\+(?=\S)", "+ ", label.strip())):
        sign = _WORDS.get(token.casefold())
        if sign is not None:
            marker = previous if previous in others else others[0] if len(others) == 1 else None
        else:
            marker = previous = find_marker(token.rstrip("+-"), markers)
            sign = not token.endswith("-")
        if marker is not None:
            calls[marker] = sign
    return calls


def calls_of_labels(labels: NDArray[np.str_], markers: Sequence[str]) -> dict[str, BoolArray]:
    """Return the calls of every marker that some label names.

    A marker that no label names is left out: it may be absent, or it was not looked at.

    Parameters
    ----------
    labels
        (n,) phenotypes or classes; "" where a cell has none, which makes it negative.
    markers
        The protocol's markers.
    """
    names, where = np.unique(labels, return_inverse=True)
    parsed = [parse_label(str(name), markers) for name in names]
    named = [marker for marker in markers if any(marker in calls for calls in parsed)]
    return {m: np.array([calls.get(m, False) for calls in parsed], dtype=np.bool_)[where] for m in named}


def flags_to_calls(values: NDArray[Any]) -> BoolArray | None:
    """Return calls from numbers (above 0 is positive) or words; None where some are neither.

    Examples
    --------
    >>> flags_to_calls(np.array(["Positive", "negative", "1"]))
    array([ True, False,  True])
    """
    if values.dtype.kind in "buif":
        return None if np.isnan(values.astype(float)).any() else np.asarray(values > 0)
    words = {"true": True, "yes": True, "positive": True, "pos": True, "+": True}
    words |= {"false": False, "no": False, "negative": False, "neg": False, "-": False}
    names, where = np.unique(values.astype(str), return_inverse=True)
    calls = []
    for name in names:
        text = str(name).strip().casefold()
        try:
            calls.append(words[text] if text in words else float(text) > 0)
        except ValueError:
            return None
    return np.array(calls, dtype=np.bool_)[where]


def has_value(labels: NDArray[np.str_], value: str) -> BoolArray:
    """Return which labels are a value, or hold it among others: ``CK+ PDL1+`` holds ``CK+``."""
    wanted = set(_SEPARATORS.split(value.strip().casefold()))
    names, where = np.unique(labels, return_inverse=True)
    return np.array([wanted <= set(_SEPARATORS.split(str(n).strip().casefold())) for n in names], dtype=np.bool_)[where]
