"""One way to call every network: a tile in, labels out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from threading import Lock
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import ProtocolError, SlideError
from spatial_til.segmentation.networks import cellpose, instanseg, stardist

#: A tile and its pixel size in µm -> (rows, cols) int32 labels of nuclei, 0 background.
NucleusFinder: TypeAlias = Callable[[NDArray[Any], float], NDArray[np.int32]]

#: Method -> package it needs, and how weights become a function of a tile in 0 to 1.
METHODS: Mapping[str, tuple[str, Callable[[Any, str], Callable[[NDArray[np.float32], float], Any]]]] = MappingProxyType(
    {
        "stardist": ("stardist.models", stardist.load),
        "cellpose": ("cellpose.models", cellpose.load),
        "instanseg": ("torch", instanseg.load),
    }
)


def find_nuclei_with(method: str, weights: str) -> NucleusFinder:
    """Return a function that finds nuclei with a network.

    Parameters
    ----------
    method
        ``stardist``, ``cellpose`` or ``instanseg``.
    weights
        The user's own weights: a StarDist model folder, a Cellpose model file, or an InstanSeg TorchScript file.

    Returns
    -------
    NucleusFinder
        Takes a tile, (rows, cols, 3) uint8 RGB or a (rows, cols) nuclear plane from `scaled_plane`, and the
        side of its pixels in µm; returns (rows, cols) int32 labels as `given_nuclei` takes them. Tiles are
        scaled by constants of the slide, never by their own brightness, so a nucleus looks the same to the
        network whatever tile it lies in. Calls from several threads wait for each other.

    Raises
    ------
    ProtocolError
        If the method is not known, its package is not installed, or the weights are not there.
    """
    if method not in METHODS:
        msg = f"segmentation.method must be one of {', '.join(METHODS)} for a network, found {method!r}"
        raise ProtocolError([msg])
    if problem := weights_problem(method, weights):
        raise ProtocolError([problem])
    package, load = METHODS[method]
    label, lock = load(_required(method, package), weights), Lock()

    def find(tile: NDArray[Any], px_um: float) -> NDArray[np.int32]:
        with lock:
            labels = np.asarray(label(_in_unit_range(tile), px_um))
        if labels.shape != tile.shape[:2]:
            msg = (
                f"{method} must label every pixel of a tile of {tile.shape[:2]}, found {labels.shape}: check the model"
            )
            raise SlideError(msg)
        return labels.astype(np.int32)

    return find


def weights_problem(method: str, weights: str) -> str | None:
    """Return why a network has no weights to run with; told before hours of a study, without its package."""
    if weights and os.path.exists(weights):  # noqa: PTH110  kernels hold no path objects
        return None
    found = f"found nothing at {weights}" if weights else "found none"
    return f"segmentation.weights must name the weights of {method}, {found}: give the path of your own model"


def scaled_plane(nuclear: NDArray[Any], typical: float) -> NDArray[np.float32]:
    """Return a nuclear plane (rows, cols) in 0 to 1, where a typical nucleus is 0.5 above its background."""
    return np.asarray(np.clip(nuclear.astype(np.float32) / np.float32(2 * typical), 0, 1), dtype=np.float32)


def _in_unit_range(tile: NDArray[Any]) -> NDArray[np.float32]:
    return tile.astype(np.float32) / np.float32(255) if tile.dtype == np.uint8 else tile.astype(np.float32)


def _required(method: str, package: str) -> Any:
    """Return the module a method needs."""
    try:
        return import_module(package)
    except ImportError as error:
        msg = f"segmentation.method {method} needs the package {package.partition('.')[0]}, which cannot be imported "
        msg += f"({error}): run pip install 'spatial-til[{method}]', or set segmentation.method to watershed"
        raise ProtocolError([msg]) from error
