"""Scores of slides that a test fills in itself."""

from spatial_til.model import Call, Estimate, SlideMeta, SlideScore

NO_CALL = Call("", "", {})


def slide(name="s", *, values=None, estimates=None, activity=None, settings=None, **meta):
    """Return a slide of patient P, lesion A, with what is given and nothing else."""
    return SlideScore(
        SlideMeta(name, "P", meta.pop("timepoint", "baseline"), "A", **meta),
        tiles={}, estimates=estimates or {}, values=values or {}, phenotype=NO_CALL, activity=activity or {},
        gates={}, settings=settings or {},
    )  # fmt: skip


def counted(n, area=1.0, sigma=0.1, dof=9, flags=()):
    """Return an estimate of so many cells, without an interval."""
    return Estimate(n, area, n / area, None, None, sigma, dof, flags)
