"""Where the immunophenotype flips: the same slide under other cut-offs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from spatial_til.model import Call

#: What is varied besides the protocol's own choice (project defaults).
MARGIN_WIDTHS_UM = (100.0, 250.0, 500.0)
HOT_CD8_PER_MM2 = (100.0, 150.0, 200.0, 250.0, 295.0, 300.0, 350.0, 400.0)
THRESHOLD_FACTORS = (0.8, 1.0, 1.2)


class Variant(NamedTuple):
    """The class under one value of one parameter."""

    parameter: str
    value: float
    call: Call


def vary(parameter: str, values: Sequence[float], score: Callable[[float], Call]) -> list[Variant]:
    """Return the class under each value of a parameter.

    Parameters
    ----------
    parameter
        Name for the table, such as `hot_cd8_per_mm2`.
    values
        Values to try, rising.
    score
        Scores the slide with one value.
    """
    return [Variant(parameter, value, score(value)) for value in values]


def flips(variants: Sequence[Variant]) -> Mapping[str, tuple[tuple[float, float], ...]]:
    """Return for each parameter the neighbouring values between which the point class changes.

    Examples
    --------
    >>> calls = [Call(name, name, {}) for name in ("inflamed", "inflamed", "desert")]
    >>> flips([Variant("hot", value, call) for value, call in zip((100, 200, 300), calls, strict=True)])
    {'hot': ((200, 300),)}
    """
    found: dict[str, tuple[tuple[float, float], ...]] = {v.parameter: () for v in variants}
    for one, other in pairwise(variants):
        if one.parameter == other.parameter and one.call.point != other.call.point:
            found[one.parameter] += ((one.value, other.value),)
    return found
