"""How a scene's cells look under the microscope: drawn once per scene, so that every block agrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spatial_til.phantoms.layout import KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_til.phantoms.layout import Scene, SceneCells

    F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Staining:
    """How well a slide is stained; stains in optical density at the middle of a structure."""

    nuclei: float = 1.0  # factor on hematoxylin
    nuclei_cv: float = 0.22  # between nuclei
    cd8: float = 0.75
    cd8_cv: float = 0.3
    pdl1: float = 0.6
    pdl1_cv: float = 0.3
    partial: float = 0.5  # share of PD-L1+ tumour cells with part of their membrane stained
    faint: float = 0.08  # share of CD8+ cells with weak stain
    smear: float = 0.10  # share of the chromogen that diffuses
    unspecific: float = 0.015  # brown and red on negative cells
    debris_per_mm2: float = 40.0


#: Faint, uneven and smeared stain: where a plain script is at a loss and an expert is not.
HARD_STAINING = Staining(cd8=0.47, cd8_cv=0.35, faint=0.10, smear=0.18, unspecific=0.03)


@dataclass(frozen=True, slots=True)
class Looks:
    """Appearance of each cell; arrays of length n unless said otherwise."""

    amount: F32  # nuclear stain
    vesicular: F32
    clump: F32
    soft_um: F32
    nucleoli: F32  # (n, 2, 3)
    offset: F32  # (n, 2)
    tint: F32  # cytoplasm
    cd8: F32
    pdl1: F32
    arc_cd8: F32  # (n, 2)
    arc_pdl1: F32  # (n, 2)
    fill_cd8: F32
    fill_pdl1: F32
    brown_haze: F32
    red_haze: F32


#: By kind: nuclear stain, vesicular, clump, cytoplasm.
_NUCLEUS = {
    "tumor": (0.44, 0.52, 0.42, 0.075),
    "lymphocyte": (0.80, 0.10, 0.26, 0.02),
    "fibroblast": (0.48, 0.25, 0.28, 0.02),
    "histiocyte": (0.40, 0.45, 0.35, 0.06),
    "melanophage": (0.35, 0.30, 0.20, 0.05),
}


def draw_looks(scene: Scene, staining: Staining) -> Looks:
    """Return the appearance of a scene's cells in one staining."""
    rng = np.random.default_rng([scene.seed, 2])
    cells = scene.cells
    n = len(cells)
    amount, vesicular, clump, tint = np.array([_NUCLEUS[k] for k in KINDS])[cells.kind].T
    depth_in_section = np.clip(rng.normal(1.0, 0.14, n), 0.55, 1.2)
    amount = amount * depth_in_section * np.exp(staining.nuclei_cv * rng.standard_normal(n)) * staining.nuclei
    whole = np.column_stack((np.zeros(n), np.ones(n)))
    part = np.column_stack((rng.random(n), rng.uniform(0.45, 0.8, n)))
    most = np.column_stack((rng.random(n), rng.uniform(0.6, 0.95, n)))
    is_tumor = cells.kind == KINDS.index("tumor")
    partial = is_tumor & (rng.random(n) < staining.partial)
    faint = np.where(rng.random(n) < staining.faint, 0.45, 1.0)
    planes = {
        "amount": amount,
        "vesicular": np.clip(vesicular + 0.12 * rng.standard_normal(n), 0, 0.8),
        "clump": clump * np.exp(0.2 * rng.standard_normal(n)),
        "soft_um": rng.uniform(0.35, 0.75, n),
        "nucleoli": _nucleoli(rng, cells, is_tumor),
        "offset": rng.uniform(0, 512, (n, 2)),
        "tint": tint * np.exp(0.25 * rng.standard_normal(n)),
        "cd8": cells.cd8 * staining.cd8 * faint * np.exp(staining.cd8_cv * rng.standard_normal(n)),
        "pdl1": cells.pdl1 * staining.pdl1 * np.exp(staining.pdl1_cv * rng.standard_normal(n)),
        "arc_cd8": np.where((rng.random(n) < 0.2)[:, None], most, whole),
        "arc_pdl1": np.where(partial[:, None], part, whole),
        "fill_cd8": rng.uniform(0.15, 0.5, n),
        "fill_pdl1": np.where(is_tumor, rng.uniform(0.04, 0.15, n), rng.uniform(0.1, 0.3, n)),
        "brown_haze": staining.unspecific * rng.gamma(1.5, 0.7, n),
        "red_haze": staining.unspecific * rng.gamma(1.5, 0.7, n),
    }
    return Looks(**{name: np.ascontiguousarray(v, dtype=np.float32) for name, v in planes.items()})


def _nucleoli(rng: np.random.Generator, cells: SceneCells, is_tumor: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return up to two nucleoli a nucleus, (n, 2, 3): x, y in µm from the centre, strength."""
    n = len(cells)
    turn = rng.uniform(0, 2 * np.pi, (n, 2))
    away = 0.5 * cells.radii_um.mean(axis=1)[:, None] * rng.random((n, 2))
    has = rng.random((n, 2)) < (0.75, 0.3)
    strength = np.where(has & is_tumor[:, None], rng.uniform(0.5, 1.2, (n, 2)), 0.0)
    return np.stack((away * np.cos(turn), away * np.sin(turn), strength), axis=-1)
