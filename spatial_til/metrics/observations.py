"""Observations about PD-L1 beside CD8+ cells: what is seen, never why."""

from __future__ import annotations

from spatial_til.model import SlideScore

INDUCTION = "pdl1_induction_log2"


def gradient_lost(reference: SlideScore, target: SlideScore) -> bool:
    """Return whether PD-L1 was raised near CD8+ cells at the reference and is not any more.

    Raised then: the lower end of the induction's interval above 0. Not now: its upper end below 1. The
    induction is available only with at least 100 tumour cells near CD8+ cells, at both times.
    """
    before, now = reference.values.get(INDUCTION), target.values.get(INDUCTION)
    if before is None or now is None or before.ci_low is None or now.ci_high is None:
        return False
    return before.ci_low > 0 and now.ci_high < 1
