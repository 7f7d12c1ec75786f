"""Tissue by example on stored slides: painted strokes to a model. Reads no image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from spatial_til.counted import counted
from spatial_til.errors import SlideError, TrainingError
from spatial_til.io.annotations.classes import meaning_of
from spatial_til.io.annotations.strokes import read_strokes
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_measured, read_source
from spatial_til.io.stain_planes import read_stain_planes
from spatial_til.io.tissue_model import HeldOutRecord, TrainedModel, Training, TrainingSlide
from spatial_til.pipeline.examples import DEFAULT_CHANNELS
from spatial_til.segmentation.examples.classifier import TissueModel, classify_slide, square_size, squares_shape
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.segmentation.examples.strength import even_out
from spatial_til.segmentation.examples.strokes import STROKE_UM, Samples, Stroke, joined, samples_under
from spatial_til.segmentation.examples.training import HeldOut, check_samples, fit, hold_out
from spatial_til.segmentation.tissue import mask_of
from spatial_til.units import PixelSize


def train(
    folder: ScoredFolder, strokes: Mapping[str, Sequence[Stroke]], channels: Sequence[str] | None = None
) -> TrainedModel:
    """Learn classes of tissue from strokes on slides that were measured into a folder.

    Parameters
    ----------
    strokes
        Those of each slide, by slide_id. One class must be `Tumor`.
    channels
        Stains to look at; by default the nuclear stain, a tumour marker and a stain of cytoplasm, as far as all
        slides have them. CD8 or PD-L1 may be named, but then decide in part where they are counted.

    Raises
    ------
    TrainingError
        With all that is missing: classes, strokes, slides, stains.
    """
    stained = {slide_id: stains_of(folder, slide_id) for slide_id in strokes}
    learned = learn(stained, strokes, channels)
    slides = [_training_slide(folder, slide_id, learned.model, stained[slide_id]) for slide_id in strokes]
    return replace(learned, training=learned.training.model_copy(update={"slides": tuple(slides)}))


def learn(
    stained: Mapping[str, StainPlanes],
    strokes: Mapping[str, Sequence[Stroke]],
    channels: Sequence[str] | None = None,
    step: Callable[[], None] = lambda: None,
) -> TrainedModel:
    """Learn as `train`, from stains in memory; the record of the slides learned from stays empty.

    Parameters
    ----------
    stained
        The stains of each slide that has strokes.
    step
        Called between steps; what it raises ends the work.
    """
    classes, looked_at = _classes(strokes), _channels(stained, channels)
    modality = next(iter(stained.values())).modality
    references = _references(stained, looked_at) if modality == "fluorescence" else ()
    parts, left_out, first = [], 0, 0
    for k, (slide_id, drawn) in enumerate(strokes.items()):
        step()
        part, twice = samples_under(
            stained[slide_id], drawn, classes, looked_at, references, slide=k, first_stroke=first
        )
        parts.append(part)
        left_out, first = left_out + twice, first + len(drawn)
    samples = joined(parts)
    check_samples(samples, classes)
    model = fit(samples, classes, modality=modality, channels=looked_at, references=references)
    held_out = [hold_out(samples, classes, step=step)]
    held_out += [hold_out(samples, classes, "slides", step=step)] if len(strokes) > 1 else []
    return TrainedModel(model, _training(samples, classes, [h for h in held_out if h], left_out))


def strokes_in(folder: ScoredFolder, drawn: Path, width_um: float = STROKE_UM) -> dict[str, tuple[Stroke, ...]]:
    """Return the strokes drawn on each slide, from files named `<slide_id>.geojson` in a folder.

    Parameters
    ----------
    width_um
        Width of a stroke drawn as a line.

    Raises
    ------
    TrainingError
        With every file that is of no measured slide, and every shape without a class; or where nothing was measured.
    """
    files = sorted(path for path in drawn.glob("*") if path.suffix.casefold() in {".geojson", ".json"})
    held = "holds no strokes" if drawn.is_dir() else "is no folder"
    problems = [] if files else [f"{drawn}: {held}: save strokes as <slide_id>.geojson in a folder, and give that"]
    if not folder.measured("any").parent.is_dir():
        problems.append(f"{folder.root}: holds no measured slides: give a folder that score has written")
        raise TrainingError(problems)
    strokes: dict[str, tuple[Stroke, ...]] = {}
    for path in files:
        measured = folder.measured(path.stem)
        if not measured.exists():
            problems.append(f"{path}: no slide {path.stem} is measured in {folder.root}: name the file after its slide")
            continue
        px = read_measured(measured, markers=()).pixel_size or PixelSize(1.0, 1.0)
        try:
            strokes[path.stem] = read_strokes(path, pixel_size=px, width_um=width_um)
        except TrainingError as error:
            problems += error.problems
    if problems:
        raise TrainingError(problems)
    return strokes


def training_lines(trained: TrainedModel) -> list[str]:
    """Return in words what a model learned from, and how it did on what was left out."""
    training, classes = trained.training, trained.model.classes
    lines = [f"looks at: {', '.join(trained.model.channels)}"]
    lines += [
        f"{name}: {counted(training.strokes[name], 'stroke')}, {counted(training.squares[name], 'square')} of 4 µm"
        for name in classes
    ]
    if training.left_out:
        lines.append(f"painted as two classes and left out: {counted(training.left_out, 'square')}")
    for held in training.held_out:
        lines.append(f"held-out {held.by}: {100 * held.accuracy:.1f} % found right (mean over classes)")
        for name, row in zip(classes, held.confusion, strict=True):
            lines.append(f"  {name} found as " + ", ".join(f"{c} {n}" for c, n in zip(classes, row, strict=True)))
    return lines


def stains_of(folder: ScoredFolder, slide_id: str) -> StainPlanes:
    """Return the stored stains of a slide.

    Raises
    ------
    TrainingError
        Where it was not measured, or by a version that stored none.
    """
    return read_stain_planes(stored_stains(folder, slide_id))


def stored_stains(folder: ScoredFolder, slide_id: str) -> Path:
    """Return where the stains of a slide are stored.

    Raises
    ------
    TrainingError
        As `stains_of`.
    """
    path = folder.stains(slide_id)
    if not path.exists():
        found = "was measured without its stains" if folder.measured(slide_id).exists() else "is not measured"
        msg = f"{slide_id}: {found} in {folder.root}: run score --rerun all on it first, then paint"
        raise TrainingError([msg])
    return path


def _classes(strokes: Mapping[str, Sequence[Stroke]]) -> tuple[str, ...]:
    """Return the painted classes, tumour first."""
    names = {stroke.name for drawn in strokes.values() for stroke in drawn}
    tumors = sorted(name for name in names if meaning_of(name) == "tumor")
    if len(tumors) != 1:
        msg = f"one class must be Tumor, found {', '.join(sorted(names)) or 'no strokes'}: paint some tumour"
        raise TrainingError([msg])
    return (*tumors, *sorted(names - set(tumors)))


def _channels(stained: Mapping[str, StainPlanes], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the stains to look at, in one order."""
    problems = []
    modalities = sorted({planes.modality for planes in stained.values()})
    if len(modalities) > 1:
        problems.append(f"slides must be of one modality, found {' and '.join(modalities)}: train two models")
    shared = [
        name for name in next(iter(stained.values())).channels if all(name in p.channels for p in stained.values())
    ]
    chosen = tuple(dict.fromkeys(wanted)) if wanted else tuple(name for name in shared if name in DEFAULT_CHANNELS)
    missing = [name for name in chosen if name not in shared]
    if missing or not chosen:
        problems.append(
            f"stain {', '.join(missing) or '(none)'} is not on all slides: choose from {', '.join(shared) or 'none'}"
        )
    if problems:
        raise TrainingError(problems)
    return chosen


def _references(stained: Mapping[str, StainPlanes], channels: tuple[str, ...]) -> tuple[float, ...]:
    """Return the usual high intensity of each channel, the median over slides."""
    found = [[p.brightness[p.channels.index(name)] for name in channels] for p in stained.values()]
    return tuple(float(value) for value in np.median(found, axis=0))


def _training_slide(folder: ScoredFolder, slide_id: str, model: TissueModel, planes: StainPlanes) -> TrainingSlide:
    measured = folder.measured(slide_id)
    tissue = read_measured(measured, markers=()).tissue
    if tissue is None:
        msg = f"{slide_id}: its tissue is not known: score it again"
        raise SlideError(msg)
    inside = mask_of(tissue, squares_shape(planes), square_size(planes.pixel_size))
    _, unlike = classify_slide(planes, even_out(model, planes, inside).model, inside, wanted=0)
    return TrainingSlide(slide_id=slide_id, sha256=str(read_source(measured).get("sha256", "")), unlike=unlike)


def _training(samples: Samples, classes: Sequence[str], held: Sequence[HeldOut], left_out: int) -> Training:
    mine = {name: samples.class_index == k for k, name in enumerate(classes)}
    return Training(
        slides=(),
        strokes={name: len(np.unique(samples.stroke[of])) for name, of in mine.items()},
        squares={name: int(of.sum()) for name, of in mine.items()},
        left_out=left_out,
        held_out=tuple(
            HeldOutRecord(by=h.by, accuracy=h.accuracy, confusion=tuple(map(tuple, h.confusion.tolist()))) for h in held
        ),
        software=version("spatial-til"),
    )
