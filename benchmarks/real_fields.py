"""Real fields of ../shared/data with the truth somebody else drew; one configuration for all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings, Stain

DATA = Path(__file__).parents[1].parent / "shared" / "data"
LUNG = ("11472_51360", "15206_60541", "16142_55840")
LUNG_MARKERS = ("PD-L1", "CD8", "FOXP3", "CD68", "PD-1", "CK")


@dataclass(frozen=True)
class RealField:
    """`image` (rows, cols, channels); `truth` labels (rows, cols) of nuclei or cells at `truth_um` per pixel."""

    name: str
    image: np.ndarray
    pixel_size_um: float
    settings: MeasureSettings
    truth: np.ndarray
    truth_um: float

    @property
    def truth_xy_um(self) -> np.ndarray:
        """Centroids (n, 2) of the true objects."""
        ids = np.unique(self.truth[self.truth > 0])
        centres = np.array(ndi.center_of_mass(self.truth > 0, self.truth, ids))
        return (centres[:, ::-1] + 0.5) * self.truth_um


def component_field() -> RealField:
    """Return the component TIFF with the vendor's nuclei."""
    import tifffile

    stem = DATA / "component_field" / "FIHC4__0929309_HP_IM3_2_"
    with tifffile.TiffFile(f"{stem}component_data.tif") as file:
        image = np.stack([page.asarray() for page in file.pages[:5]], axis=-1)
    truth = tifffile.imread(f"{stem}binary_seg_maps.tif", key=1).astype(int)
    names = ("Alexa 594", "Cy3", "Cy5", NUCLEI, "FITC")
    return RealField("component field", image, 0.4971, _channels(names), truth, 0.4971)


def whole_cells() -> RealField:
    """Return the field with hand-drawn whole cells: cytoplasm, then nuclei."""
    import tifffile

    image = np.moveaxis(tifffile.imread(DATA / "whole_cell" / "image0.tif"), 0, -1)
    truth = tifffile.imread(DATA / "whole_cell" / "image0_labels.tif").astype(int)
    return RealField("whole cells", image, 0.4987, _channels(("cytoplasm", NUCLEI)), truth, 0.4987)


def lung_field(name: str) -> RealField:
    """Return one lung field with the vendor's nuclei."""
    import tifffile

    folder, x_y = DATA / "lung_fields", name.replace("_", ",")
    image = np.moveaxis(tifffile.imread(folder / f"Set4_1-6plex_{name}.ome.tif"), 0, -1)
    truth = tifffile.imread(folder / f"Set4_1-6plex_[{x_y}]_binary_seg_maps.tif", key=1).astype(int)
    settings = _channels((NUCLEI, *LUNG_MARKERS), frozenset({"FOXP3"}))
    return RealField(f"lung {name}", image, 0.4981, settings, truth, 0.4981)


def six_panels(name: str) -> RealField:
    """Return an H-DAB picture, taken as 0.25 µm per pixel and binned to 0.5, and the nuclei its last panel draws."""
    import cv2

    picture = cv2.imread(str(DATA / "brightfield" / f"{name}.png"))[..., ::-1]
    side = picture.shape[0]
    stained, drawn = picture[:, :side], picture[:, -side:].astype(int)
    binned = stained.reshape(side // 2, 2, side // 2, 2, 3).mean(axis=(1, 3))
    positive, count = ndi.label((drawn[..., 0] > 200) & (drawn[..., 2] < 80))
    negative, _ = ndi.label((drawn[..., 2] > 200) & (drawn[..., 0] < 80))
    truth = np.where(positive > 0, positive, np.where(negative > 0, negative + count, 0))
    truth[np.bincount(truth.ravel())[truth] < 160] = 0  # specks below 10 µm²
    stains = (Stain("hematoxylin", NUCLEI, "hematoxylin"), Stain("dab", "marker", "dab"))
    settings = MeasureSettings("brightfield", stains=stains, nuclear_markers=frozenset({"marker"}))
    return RealField(f"H-DAB {name}", np.round(binned).astype(np.uint8), 0.5, settings, truth, 0.25)


def _channels(markers: tuple[str, ...], nuclear: frozenset[str] = frozenset()) -> MeasureSettings:
    channels = tuple(Channel(str(i), marker) for i, marker in enumerate(markers))
    return MeasureSettings("fluorescence", channels=channels, nuclear_markers=nuclear)
