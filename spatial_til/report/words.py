"""Numbers, intervals and codes as a reader sees them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from spatial_til.counted import counted

NOT_AVAILABLE = "not available"
_THOUSAND, _TINY = 1000.0, 1e-5


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a few significant digits, thousands apart; what is not known in words.

    Examples
    --------
    >>> number(1133.4), number(22.12), number(0.04567), number(-5.01), number(0.0), number(4.21e-9), number(None)
    ('1,133', '22.1', '0.0457', '−5.01', '0', '4.21e−09', 'not available')
    """
    if value is None or math.isnan(value):
        return NOT_AVAILABLE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if 0 < size < _TINY:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    text = f"{size:,.0f}" if size >= _THOUSAND or float(size).is_integer() else _significant(size, digits)
    return f"−{text}" if value < 0 and text.strip("0.") else text


def _significant(size: float, digits: int) -> str:
    places = digits - 1 - math.floor(math.log10(size))
    return f"{round(size, places):,.{max(0, places)}f}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Return a value with its interval; an end that is not known stands as it is.

    Examples
    --------
    >>> interval(22.1, 8.12, 50.3)
    '22.1 (8.12 to 50.3)'
    >>> interval(9.15, 6.21, None), interval(0.5, None, None), interval(None, None, None)
    ('9.15 (6.21 to …)', '0.500', 'not available')
    """
    if value is None or math.isnan(value):
        return NOT_AVAILABLE
    if low is None and high is None:
        return number(value)
    ends = ("…" if end is None else number(end) for end in (low, high))
    return f"{number(value)} ({' to '.join(ends)})"


def level(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """Return a logarithm or an index with two decimals, and its interval where there is one.

    Examples
    --------
    >>> level(-5.0099, -6.57, -3.692), level(0.0042), level(None), level(9.146, 6.215, None)
    ('−5.01 (−6.57 to −3.69)', '0.00', 'not available', '9.15 (6.21 to …)')
    """
    if value is None or math.isnan(value):
        return NOT_AVAILABLE
    if low is None and high is None:
        return _two_decimals(value)
    ends = ("…" if end is None else _two_decimals(end) for end in (low, high))
    return f"{_two_decimals(value)} ({' to '.join(ends)})"


def _two_decimals(value: float) -> str:
    text = f"{abs(value):.2f}"
    return f"−{text}" if value < 0 and text.strip("0.") else text


def setting(value: float) -> str:
    """Return a setting as it was given.

    Examples
    --------
    >>> setting(0.025), setting(1000.0), setting(-1.0)
    ('0.025', '1,000', '−1')
    """
    return f"{value:,g}".replace("-", "−")


def percent(fraction: float | None) -> str:
    """Return a fraction in percent.

    Examples
    --------
    >>> percent(0.9995), percent(0.25), percent(0.0), percent(None)
    ('> 99 %', '25 %', '0 %', 'not available')
    """
    if fraction is None or math.isnan(fraction):
        return NOT_AVAILABLE
    if 0 < fraction < 0.01:
        return "< 1 %"
    if 0.99 < fraction < 1:
        return "> 99 %"
    return f"{100 * fraction:.0f} %"


def share(fraction: float | None) -> str:
    """Return a fraction that is held against a limit: in percent, with digits that tell the two apart.

    Examples
    --------
    >>> share(0.3042), share(0.012), share(0.1), share(0.00002), share(0.0), share(None)
    ('30.4 %', '1.20 %', '10 %', '< 0.1 %', '0 %', 'not available')
    """
    if fraction is None or math.isnan(fraction):
        return NOT_AVAILABLE
    hundred = round(100 * fraction, 6)
    return "< 0.1 %" if 0 < hundred < 0.1 else f"{number(hundred)} %"


def pigment_words(looked_at: int, taken: int, above: int | None) -> tuple[str, str]:
    """Return how many cells of a slide are taken for pigment, and what that means.

    Parameters
    ----------
    looked_at, taken, above
        See `segmentation.positivity.PigmentCount`.

    Examples
    --------
    >>> pigment_words(1034, 38, 12)
    ('38 of 1,034 brown cells (4 %)', 'not called, in no cut-off; 12 of them are stained at or above the cut-off')
    >>> pigment_words(0, 0, None)
    ('0 of 0 brown cells', '')
    """
    share = f" ({percent(taken / looked_at)})" if looked_at else ""
    remark = "not called, in no cut-off" if taken else ""
    if taken and above is not None:
        remark += f"; {above:,} of them {'is' if above == 1 else 'are'} stained at or above the cut-off"
    return f"{taken:,} of {counted(looked_at, 'brown cell')}{share}", remark


def true_minus(text: str) -> str:
    """Return a sentence of the tables with the minus signs that numbers of the report have.

    Examples
    --------
    >>> true_minus("core 26/mm², log2 core/margin -4.83, anti-PD-1")
    'core 26/mm², log2 core/margin −4.83, anti-PD-1'
    """
    return re.sub(r"(?<!\S)-(?=\d)", "−", text)


def metric_words(name: str) -> str:
    """Return the name of a metric, a column of the tables, as words with the markers' own names.

    Examples
    --------
    >>> metric_words("log2_fold_core_cd8"), metric_words("pdl1_margin_per_mm2"), metric_words("delta_pdi_pdl1_tumor")
    ('log2 fold core CD8', 'PD-L1 margin per mm²', 'delta PDI PD-L1 tumor')
    """
    names = {"cd8": "CD8", "pdl1": "PD-L1", "pdi": "PDI", "mm2": "mm²", "tps": "TPS", "cps": "CPS", "ic": "IC"}
    return " ".join(names.get(word, word) for word in in_words(name).split(" "))


def first_upper(text: str) -> str:
    """Return a sentence with a capital first letter and all others as they are: CD8 stays CD8.

    Examples
    --------
    >>> first_upper("taken for pigment, not for CD8")
    'Taken for pigment, not for CD8'
    """
    return text[:1].upper() + text[1:]


def in_words(code: str) -> str:
    """Return a code as words.

    Examples
    --------
    >>> in_words("reversion_to_excluded"), in_words("baseline->on_treatment")
    ('reversion to excluded', 'baseline → on treatment')
    """
    return code.replace("->", " → ").replace("_", " ")


def runs(values: Sequence[tuple[Any, str]]) -> list[tuple[str, str]]:
    """Return stretches of values that share an outcome.

    Examples
    --------
    >>> runs([(0.8, "hot"), (150, "hot"), (200, "cold")])
    [('0.8 to 150', 'hot'), ('200', 'cold')]
    """
    stretches = []
    for outcome, group in groupby(values, key=lambda pair: pair[1]):
        of = [setting(float(value)) for value, _ in group]
        stretches.append((of[0] if len(of) == 1 else f"{of[0]} to {of[-1]}", outcome))
    return stretches
