"""Tissue by example on stored slides: a model to the tumour of a slide. Reads no image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shapely.geometry import MultiPolygon

from spatial_til.counted import counted
from spatial_til.errors import ModelError
from spatial_til.geometry.mapped import likely_region
from spatial_til.geometry.tumor import FoundRegion
from spatial_til.io.stain_planes import read_stain_planes
from spatial_til.io.tissue_model import TrainedModel, read_tissue_model
from spatial_til.protocol_panel import NUCLEI, TUMOR, Panel
from spatial_til.protocol_sections import Tumor
from spatial_til.segmentation.examples.anew import LEAST, MOST_CHANGED, SURE, Reason
from spatial_til.segmentation.examples.brightened import LEFT, only_brightened
from spatial_til.segmentation.examples.classifier import (
    MAX_UNLIKE,
    TissueModel,
    classify_slide,
    square_size,
    squares_shape,
)
from spatial_til.segmentation.examples.on_slide import on_slide
from spatial_til.segmentation.examples.planes import PLANE_UM, StainPlanes
from spatial_til.segmentation.examples.strength import MAX_STRENGTH
from spatial_til.segmentation.tissue import mask_of

#: Stains that are looked at unless others are asked for: what is measured in the tumour must not decide where it is.
DEFAULT_CHANNELS = (NUCLEI, TUMOR, "cytoplasm")
#: The planes of a slide may have pixels this many times larger or smaller than 2 µm.
_MAX_SCALE = 1.5


@dataclass(frozen=True, slots=True)
class FoundTumor:
    """The tumour that a model finds on a slide, and how far the slide is unlike those that the model learned from.

    `unlike` is the share of tissue that is; `exposed` are channels more than twice, or less than half, as bright.
    In brightfield `strength` says how many times as strongly each stain is seen as on the slides learned from, and
    `doubtful` which could not be evened out. In fluorescence `taught` is the share of the tissue looked at that taught
    the model anew, and `untaught` why none did; None and empty elsewhere. `brightened` says that tumour is found only
    because a dim slide was brightened, see `only_brightened`.
    """

    found: FoundRegion
    unlike: float
    exposed: tuple[str, ...] = ()
    strength: tuple[float, ...] = ()
    doubtful: tuple[str, ...] = ()
    taught: float | None = None
    untaught: Reason = ""
    brightened: bool = False

    @property
    def is_unlike(self) -> bool:
        """Whether too much of the tissue is unlike the training to trust the tumour unseen."""
        return self.unlike > MAX_UNLIKE


def find_tumor_by_model(
    planes: StainPlanes,
    trained: TrainedModel,
    tissue: MultiPolygon,
    keys: Tumor,
    *,
    tile_squares: int = 1024,
    on_tile: Callable[[float], None] = lambda _: None,
) -> FoundTumor:
    """Return the tumour of one slide: where its probability, smoothed, is at least one half, cleaned by size.

    A brightfield slide is found by the model brought to the strength it is stained in (`even_out`), a fluorescence
    slide by the model that it teaches (`taught_by_slide`).

    Parameters
    ----------
    planes
        With the channels of the model.
    tissue
        In µm.
    keys
        `bandwidth_um`, `min_area_mm2` and `max_hole_mm2` of the protocol.
    tile_squares, on_tile
        As `classify_slide`.
    """
    square = square_size(planes.pixel_size)
    inside = mask_of(tissue, squares_shape(planes), square)
    here = on_slide(trained.model, planes, inside)
    probability, unlike = classify_slide(
        planes, here.model, inside, wanted=trained.tumor_index, tile_squares=tile_squares, on_tile=on_tile
    )
    found = likely_region(
        probability,
        square,
        tissue,
        bandwidth_um=keys.bandwidth_um,
        min_area_mm2=keys.min_area_mm2,
        max_hole_mm2=keys.max_hole_mm2,
    )
    model = trained.model
    exposed = planes.too_unlike(model.channels, model.references)
    if here.evened is not None:
        return FoundTumor(found, unlike, exposed, here.evened.strength, here.evened.doubtful)
    share = here.taught.share if here.taught else None
    reason: Reason = here.taught.reason if here.taught else ""
    brightened = not found.region.is_empty and only_brightened(model, planes, inside, trained.tumor_index)
    return FoundTumor(found, unlike, exposed, taught=share, untaught=reason, brightened=brightened)


def tumor_of_slide(stored: Path, keys: Tumor, tissue: MultiPolygon) -> tuple[FoundTumor, TrainedModel]:
    """Return the tumour that the protocol's model finds on a measured slide, and the model.

    Parameters
    ----------
    stored
        The stored stains of the slide.

    Raises
    ------
    ModelError
        The model cannot be used, or not on this slide.
    SlideError
        The stains are missing or damaged.
    """
    trained = read_tissue_model(Path(keys.model))
    planes = read_stain_planes(stored, trained.model.channels)
    problems = fit_problems(trained.model, planes.modality, planes.channels)
    ratio = planes.pixel_size.mean_um / PLANE_UM
    if not 1 / _MAX_SCALE <= ratio <= _MAX_SCALE:
        problems.append(
            f"tissue by example needs pixels of about {PLANE_UM:g} µm, this slide has "
            f"{planes.pixel_size.mean_um:.2g} µm: annotate its tumour"
        )
    if problems:
        raise ModelError([f"{stored.stem.removesuffix('.stains')}: {problem}" for problem in problems])
    return find_tumor_by_model(planes, trained, tissue, keys), trained


def fit_problems(model: TissueModel, modality: str, channels: Sequence[str]) -> list[str]:
    """Return why a model cannot be used on slides of some modality and channels."""
    if model.modality != modality:
        return [f"the tissue model is for {model.modality} slides, found {modality}: train one on slides like these"]
    missing = [name for name in model.channels if name not in channels]
    return [
        f"the tissue model looks at {name}, which the panel does not have: train one without it" for name in missing
    ]


def panel_planes(panel: Panel) -> tuple[str, ...]:
    """Return what the stored planes of a panel's slides show."""
    return tuple(key if marker == "none" else marker for key, marker in panel.roles.items())


def exposed_words(channels: Sequence[str]) -> str:
    """Return that some channels are too dim or bright to be compared."""
    return (
        f"{', '.join(channels)} is more than twice or less than half as bright as on the slides learned from, "
        "so the tumour found may be wrong"
    )


def brightened_words() -> str:
    """Return that a slide without tumour would look the same."""
    return (
        f"less than {100 * LEFT:g} % of the tumour would be found had the slide not been brightened to those learned "
        "from: a slide without tumour looks the same, so there may be none"
    )


def strength_words(channels: Sequence[str], strength: Sequence[float]) -> str:
    """Return how strongly some stains are seen beside the slides learned from."""
    said = " and ".join(f"{s:.2f} times as strongly in {name}" for name, s in zip(channels, strength, strict=True))
    return f"stained {said} as the slides learned from"


def doubtful_words(channels: Sequence[str]) -> str:
    """Return that the strength of some stains could not be evened out."""
    return (
        f"{', '.join(channels)} is stained {MAX_STRENGTH:g} times as strongly or weakly as on the slides learned from, "
        "or the slide holds one tissue only, and that cannot be told apart: the tumour found may be wrong"
    )


def taught_words(tumor: FoundTumor) -> str:
    """Return whether a fluorescence slide taught the model anew, and why not; nothing in brightfield."""
    why = {
        "unlike": f"more than {100 * MAX_UNLIKE:g} % of its tissue is unlike anything the model learned from",
        "scarce": f"it is sure of a class on less than {100 * LEAST:g} % of the tissue",
        "changed": f"the share of a class would change by more than {100 * MOST_CHANGED:.0f} %",
    }
    if tumor.untaught:
        return f"the model is used as it was learned and not taught by the slide: {why[tumor.untaught]}"
    if tumor.taught is None:
        return ""
    return f"the model was taught anew by the {100 * tumor.taught:.0f} % of the tissue it was {100 * SURE:g} % sure of"


def notes_on(tumor: FoundTumor, trained: TrainedModel) -> list[str]:
    """Return in words how far to trust a tumour that was found by a model."""
    held = "; ".join(f"{100 * h.accuracy:.0f} % of held-out {h.by} found right" for h in trained.training.held_out)
    slides = counted(len(trained.training.slides), "slide")
    notes = [f"tumour found by example, by a model of {slides}; {held or 'not tested'}"]
    notes.append(f"cleaning changed its area by {100 * tumor.found.area_change:.2g} %")
    notes.append(f"{100 * tumor.unlike:.2g} % of the tissue is unlike anything the model learned from")
    notes += [exposed_words(tumor.exposed)] if tumor.exposed else []
    notes += [brightened_words()] if tumor.brightened else []
    notes += [strength_words(trained.model.channels, tumor.strength)] if tumor.strength else []
    notes += [doubtful_words(tumor.doubtful)] if tumor.doubtful else []
    notes += [taught_words(tumor)] if taught_words(tumor) else []
    measured = [name for name in trained.model.channels if name not in DEFAULT_CHANNELS]
    if measured:
        notes.append(f"the model also looks at {', '.join(measured)}, which so decide in part where they are counted")
    return notes
