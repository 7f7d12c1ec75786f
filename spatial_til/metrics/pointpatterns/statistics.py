"""All statistics of a pair of populations, for the labels as they are or as they were drawn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spatial_til.metrics.pointpatterns.gcross import distance_curve
from spatial_til.metrics.pointpatterns.kcross import k_cross, l_cross
from spatial_til.metrics.pointpatterns.mixing import mixing_score, normalised
from spatial_til.metrics.pointpatterns.neighbours import IntArray, build_grid, count_within, nearest_um
from spatial_til.metrics.pointpatterns.parts import Parts
from spatial_til.model import FloatArray

QUARTILES = (0.25, 0.5, 0.75)
NEAREST = ("nearest_q25_um", "nearest_median_um", "nearest_q75_um")
#: In the order of the statistics of one direction; each for every radius.
BY_RADIUS = ("count_within", "g_cross", "g_cross_auc", "mixing_score_normalised")
#: Of the pair as a whole: from the first to the second is from the second to the first.
SYMMETRIC = ("k_cross_um2", "l_cross_um")


class Key(NamedTuple):
    """What one statistic is: its metric, whether it goes from the first population, and its radius."""

    metric: str
    from_first: bool
    radius_um: float | None


def statistic_keys(radii_um: FloatArray) -> tuple[Key, ...]:
    """Return what each entry of `pair_statistics` is."""
    radii = radii_um.tolist()
    keys = []
    for from_first in (True, False):
        keys += [Key(metric, from_first, None) for metric in NEAREST]
        keys += [Key(metric, from_first, radius) for metric in BY_RADIUS for radius in radii]
    keys += [Key(metric, from_first=True, radius_um=radius) for metric in SYMMETRIC for radius in radii]
    return tuple(keys)


def pair_statistics(parts: Parts, labelled: IntArray, references: IntArray) -> FloatArray:
    """Return all statistics of a pair for one set of labels.

    Parameters
    ----------
    parts
        The fixed side.
    labelled
        Positions in the pool of the cells of the second population; at least one.
    references
        Those of them that serve as reference cells.

    Returns
    -------
    (m,) statistics in the order of `statistic_keys`; NaN where there is none.
    """
    radii = parts.radii_um
    n_first, n_second = parts.n_first, len(labelled)
    grid = build_grid(parts.pool_um[labelled], parts.pool_cell[labelled])
    pairs = parts.pool_first[labelled].sum(axis=0)
    weights = parts.pool_weight[labelled].sum(axis=0)
    own = count_within(parts.pool_um[references], grid, radii, parts.pool_cell[references]).sum(axis=0)
    second_pairs = own * (n_second / len(references))
    forward = distance_curve(nearest_um(parts.first_um, grid, parts.first_cell), parts.first_boundary_um)
    back = distance_curve(parts.pool_distance_um[references], parts.pool_boundary_um[references])
    k = k_cross(weights, n_first * n_second - int(parts.pool_is_first[labelled].sum()), parts.area_um2)
    return np.concatenate(
        (
            forward.quantiles(QUARTILES),
            parts.area_um2 * weights / n_first,
            forward.at(radii),
            forward.mean_up_to(radii),
            normalised(mixing_score(pairs, parts.first_pairs / 2), n_first, n_second),
            back.quantiles(QUARTILES),
            parts.area_um2 * weights / n_second,
            back.at(radii),
            back.mean_up_to(radii),
            normalised(mixing_score(pairs, second_pairs / 2), n_second, n_first),
            k,
            l_cross(k),
        )
    )
