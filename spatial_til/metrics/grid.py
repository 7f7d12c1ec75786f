"""Immunophenotype by the rule `grid`: the share of 1 mm² squares whose tumour nests or stroma are infiltrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.counted import counted
from spatial_til.metrics.levels import Failure, call_class, not_evaluable
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.model import Call, FloatArray

#: Side of a square in µm.
SQUARE_UM = 1000.0
#: Cut-offs and share published for all lymphocytes on H&E in lung cancer (Park 2022), not for CD8.
NEST_PER_MM2 = 106.0
STROMA_PER_MM2 = 357.0
SHARE = 1 / 3
#: Squares with less tumour than this are left out (project default).
_MIN_TUMOR_MM2 = 0.1
_CLASSES = ("inflamed", "excluded", "desert")


@dataclass(frozen=True, slots=True)
class GridCounts:
    """CD8+ cells and area of tumour nests and of the stroma between them, by square, (G,) each."""

    nest_cells: NDArray[np.integer[Any]]
    nest_mm2: FloatArray
    stroma_cells: NDArray[np.integer[Any]]
    stroma_mm2: FloatArray


def grid_phenotype(
    counts: GridCounts,
    *,
    min_squares: int,
    min_class_probability: float,
    draws: int,
    seed: int,
    key: str,
    failures: Sequence[Failure] = (),
) -> Call:
    """Call the immunophenotype from the squares of a slide.

    Parameters
    ----------
    counts
        Squares of 1 mm² over the tumour.
    min_squares
        Fewer squares with enough tumour give no class (the protocol's `gates.min_tiles`).
    min_class_probability, draws, seed, key, failures
        As in `phenotype`.

    Notes
    -----
    A square is inflamed above 106 cells/mm² in nests, else excluded above 357 in stroma, else desert. The
    slide is inflamed if more than a third of its squares are, else excluded if more than a third are, else
    desert. Probabilities: the squares are resampled and the rule applied again. The cut-offs are for all
    lymphocytes on H&E; for CD8 they are project defaults.

    References
    ----------
    Park et al. 2022, J Clin Oncol 40:1916, doi:10.1200/JCO.21.02010.
    """
    used = counts.nest_mm2 + counts.stroma_mm2 >= _MIN_TUMOR_MM2
    n_squares = int(used.sum())
    problems = list(failures)
    if n_squares < min_squares:
        problems.append(Failure("few_tiles", f"{counted(n_squares, 'square')} with tumour, {min_squares} needed"))
    if problems:
        return not_evaluable(problems)
    inflamed = _above(counts.nest_cells, counts.nest_mm2, NEST_PER_MM2)[used]
    excluded = ~inflamed & _above(counts.stroma_cells, counts.stroma_mm2, STROMA_PER_MM2)[used]
    classes = np.column_stack((inflamed, excluded)).astype(np.float64)
    chosen = seeded_generator(seed, key, "grid").integers(n_squares, size=(draws, n_squares))
    shares = classes.mean(axis=0)
    return call_class(
        _CLASSES,
        _slide_class(shares[None, :]),
        _slide_class(classes[chosen].mean(axis=1)),
        min_class_probability=min_class_probability,
        reason=f"of {counted(n_squares, 'square')} {shares[0]:.0%} inflamed, {shares[1]:.0%} excluded",
    )


def _above(cells: NDArray[np.integer[Any]], area_mm2: FloatArray, per_mm2: float) -> NDArray[np.bool_]:
    """Return where the density exceeds a cut-off; no area has no density and does not."""
    return (area_mm2 > 0) & (cells > per_mm2 * area_mm2)


def _slide_class(shares: FloatArray) -> NDArray[np.integer[Any]]:
    """Return indices into the classes from (k, 2) shares of inflamed and excluded squares."""
    return np.select([shares[:, 0] > SHARE, shares[:, 1] > SHARE], [0, 1], 2)
