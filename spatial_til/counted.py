"""Counts in sentences: one slide is no "1 slides"."""

from __future__ import annotations


def counted(n: float, one: str, many: str = "") -> str:
    """Return a number of things in words.

    Parameters
    ----------
    one, many
        What one of them is called, and several; `many` is `one` with an s where it is not given.

    Examples
    --------
    >>> counted(1, "slide"), counted(0, "slide"), counted(1034, "cell"), counted(7.5, "month")
    ('1 slide', '0 slides', '1,034 cells', '7.5 months')
    >>> counted(2, "biopsy", "biopsies")
    '2 biopsies'
    """
    number = f"{n:,.0f}" if float(n).is_integer() else f"{n:,g}"
    return f"{number} {one if n == 1 else many or f'{one}s'}"
