"""Phantom fields for accuracy: images with exact truth, by kind and seed.

Seeds below 1000 are for development; report on others. Fields of `melanoma_layouts` need the real
outlines in ../shared/data beside the checkout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spatial_til import synthetic as syn

LAYOUTS = Path(__file__).parents[1].parent / "shared" / "data" / "melanoma_layouts" / "nuclei.parquet"
LAYOUT_PIXEL_UM = 0.25
KIND_OF_CLASS = {
    "tumor": "tumor",
    "lymphocyte": "lymphocyte",
    "plasma_cell": "lymphocyte",
    "apoptosis": "lymphocyte",
    "histiocyte": "histiocyte",
    "epithelium": "histiocyte",
    "neutrophil": "histiocyte",
    "stroma": "fibroblast",
    "endothelium": "fibroblast",
    "melanophage": "melanophage",
}
EVEN = (300.0, 300.0, 300.0, 300.0)
SPARSE = (30.0, 30.0, 30.0, 30.0)
NONE = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Phantom:
    """One field: `image` RGB uint8 or 16-bit channels last; `vectors` what the tool is told (None: presets)."""

    name: str
    scene: syn.Scene
    image: np.ndarray
    pixel_size_um: float
    vectors: np.ndarray | None
    fluorescence: bool = False

    @property
    def in_frame(self) -> np.ndarray:
        """Cells whose centroid lies in the image."""
        x, y = self.scene.cells.centroids_um.T
        return (x > 0) & (y > 0) & (x < self.scene.width_um) & (y < self.scene.height_um)

    def truth_um(self, of: str = "all") -> np.ndarray:
        """Return centroids (n, 2) of "all", "CD8" or "PD-L1" cells in the frame."""
        cells = self.scene.cells
        which = {"all": np.ones(len(cells), bool), "CD8": cells.cd8, "PD-L1": cells.pdl1}[of]
        return cells.centroids_um[which & self.in_frame]


#: kind -> (CD8+ per mm², melanophages per mm², µm per pixel, true vectors known, fluorescence)
KINDS = {
    "brightfield": ((150.0, 300.0, 700.0, 300.0), 0.0, 0.5, True, False),
    "brightfield_preset": ((150.0, 300.0, 700.0, 300.0), 0.0, 0.5, False, False),
    "brightfield_fine": ((150.0, 300.0, 700.0, 300.0), 0.0, 0.25, True, False),
    "brightfield_fine_preset": (EVEN, 0.0, 0.25, False, False),
    "desert": (SPARSE, 0.0, 0.5, True, False),
    "no_cd8": (NONE, 0.0, 0.5, True, False),
    "melanin": (NONE, 60.0, 0.5, True, False),
    "melanin_and_cd8": ((150.0, 300.0, 700.0, 300.0), 50.0, 0.5, True, False),
    "fluorescence": ((150.0, 300.0, 700.0, 300.0), 0.0, 0.5, True, True),
    "fluorescence_fine": (EVEN, 0.0, 0.25, True, True),
    "fluorescence_desert": (SPARSE, 0.0, 0.5, True, True),
}


def phantom_set(kind: str, n: int, seed: int, size_um: float = 800.0) -> Iterator[Phantom]:
    """Yield n phantoms of a kind; every one has other stain vectors, 3 degrees off the presets."""
    cd8, melanin, um, known, fluorescence = KINDS[kind]
    for i in range(seed, seed + n):
        scene = syn.tissue_scene(
            (size_um, size_um),
            seed=i,
            cd8_per_mm2=cd8,
            melanophages_per_mm2=melanin,
            crowding=syn.Crowding(1.0, 0.72, 0.18),
        )
        yield _photograph(f"{kind}-{i}", scene, um, known=known, fluorescence=fluorescence, seed=i)


def layout_set(n: int, seed: int, *, um: float = 0.5, fluorescence: bool = False) -> Iterator[Phantom]:
    """Yield phantoms of real layouts: n of the 103 melanoma fields from number `seed` on."""
    import pandas as pd
    import shapely

    table = pd.read_parquet(LAYOUTS)
    for roi in sorted(table["roi"].unique())[seed : seed + n]:
        field = table[table["roi"] == roi]
        polygons = shapely.transform(shapely.from_wkb(field["geometry"]), lambda xy: xy * LAYOUT_PIXEL_UM)
        one = np.array([max(shapely.get_parts(p), key=shapely.area) for p in polygons])
        kinds = [KIND_OF_CLASS[c] for c in field["class"]]
        scene = syn.scene_from_outlines(one, kinds, (1024 * LAYOUT_PIXEL_UM,) * 2, seed=seed)
        yield _photograph(f"layout-{roi}", scene, um, known=True, fluorescence=fluorescence, seed=seed)


def _photograph(name: str, scene: syn.Scene, um: float, *, known: bool, fluorescence: bool, seed: int) -> Phantom:
    vectors = syn.tilted_vectors(3.0, seed)
    if fluorescence:
        image = syn.render_fluorescence(scene, um, staining=syn.HARD_STAINING)
        return Phantom(name, scene, image, um, None, fluorescence=True)
    image = syn.render_brightfield(scene, um, vectors=vectors, staining=syn.HARD_STAINING)
    return Phantom(name, scene, image, um, vectors if known else None)
