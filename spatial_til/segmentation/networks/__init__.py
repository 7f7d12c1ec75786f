"""Nuclei found by a network the user brings: StarDist, Cellpose or InstanSeg, each behind its own extra."""

from spatial_til.segmentation.networks.finder import (
    METHODS,
    NucleusFinder,
    find_nuclei_with,
    scaled_plane,
    weights_problem,
)

__all__ = ["METHODS", "NucleusFinder", "find_nuclei_with", "scaled_plane", "weights_problem"]
