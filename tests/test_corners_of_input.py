"""Branches that nothing ran and that guard a number against its input: unknown units, other sizes, stale files."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from spatial_til.batch import stages, studies
from spatial_til.batch.rescoring import _measure_problems
from spatial_til.batch.stages import measure_one, score_one
from spatial_til.batch.studies import sample_study
from spatial_til.errors import AnnotationError, CellTableError, ModelError, SlideError, StudyError, TrainingError
from spatial_til.io.annotations.strokes import read_strokes
from spatial_til.io.cell_tables.building import unit_of
from spatial_til.io.cell_tables.reading import MAX_CROWD, _check_crowding
from spatial_til.io.cell_tables.text_table import open_text_table
from spatial_til.io.colours import read_colours, write_colours
from spatial_til.io.exports.compartment_labels import compartment_labels
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import Measured
from spatial_til.io.overview import read_overview
from spatial_til.io.schema.slides import SLIDE_SCORES
from spatial_til.io.slides.ome import MAX_PLANES, ome_images
from spatial_til.io.slides.ome_zarr import ZarrLevel
from spatial_til.io.slides.raster import _picture
from spatial_til.io.slides.tiff_series import _pages
from spatial_til.io.slides.tiles import _cut
from spatial_til.io.tables import table_text
from spatial_til.metrics.levels import Failure
from spatial_til.model import Cells, SlideMeta, Threshold
from spatial_til.pipeline import examples
from spatial_til.pipeline.calls import MarkerCut, _failures, require_markers
from spatial_til.pipeline.divide import find_regions
from spatial_til.pipeline.examples import fit_problems, tumor_of_slide
from spatial_til.pipeline.measure import MeasureTask, working_grid
from spatial_til.pipeline.score import ScoreTask
from spatial_til.pipeline.tables_in import _check_in_image
from spatial_til.pipeline.training import _channels
from spatial_til.protocol import parse_protocol
from spatial_til.segmentation.cells import LABEL_MASK, grow_cells
from spatial_til.segmentation.positivity import score_of
from spatial_til.segmentation.scratch import Scratch
from spatial_til.study import Job, Study
from spatial_til.units import PixelSize
from tests.batch_study import PROTOCOL as BRIGHTFIELD
from tests.scored_folder import PROTOCOL

PX = PixelSize(0.5, 0.5)
META = SlideMeta("S1", "P", "baseline", "A")
BOX = MultiPolygon([box(0, 0, 100, 100)])


def cells(x_um, **more):
    x = np.asarray(x_um, dtype=float)
    return Cells(x, np.full_like(x, 5.0), np.full_like(x, 30.0), np.full_like(x, 60.0), measurements={}, **more)


def job(image="none.tif", **changes):
    return Job(META, image and Path(image), parse_protocol(PROTOCOL | changes))


# --- cell tables


@pytest.mark.parametrize("um", [0.0, -0.5, math.nan, math.inf])
@pytest.mark.parametrize("unit", ["px", "um"])
def test_a_unit_that_is_no_length_is_refused_even_where_the_table_says_its_own(um, unit):
    with pytest.raises(CellTableError, match="pixel_size_um must be a positive number"):
        unit_of(SimpleNamespace(unit=unit, name="HALO"), um, PX, Path("a.csv"))


def test_as_many_cells_as_can_lie_in_one_place_are_read_and_one_more_is_refused():
    crowd = cells([*np.full(MAX_CROWD, 15.0), 25.0])
    _check_crowding(crowd, Path("a.csv"))
    with pytest.raises(CellTableError, match=r"101 cells lie within 10 µm at x 10, y 0 µm; at most 100 can"):
        _check_crowding(cells([*np.full(MAX_CROWD + 1, 15.0), 25.0]), Path("a.csv"))


def test_a_column_that_cannot_be_had_by_its_name_is_not_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    table = open_text_table(tmp_path / "a.csv")
    assert table.load(["x"], []).to_dict("list") == {"x": [1]}
    with pytest.raises(CellTableError, match="column CD8, area cannot be read by its name"):
        table.load(["x", "CD8", "area"], [])


def test_cells_beyond_their_image_are_of_another_unit_or_slide():
    inside = np.full(999, 50.0)
    _check_in_image(job(), cells(inside), (0.0, 0.0, 100.0, 100.0))
    with pytest.raises(CellTableError, match=r"S1: 50 % of the cells lie outside the image"):
        _check_in_image(job(), cells([*inside, *(inside + 100)]), (0.0, 0.0, 100.0, 100.0))


def test_anndata_whose_positions_are_no_pairs_is_refused(tmp_path):
    anndata = pytest.importorskip("anndata")
    from spatial_til.io.cell_tables.anndata_table import load_anndata

    one = anndata.AnnData(np.zeros((2, 1)), obsm={"spatial": np.zeros((2, 1))})
    one.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(CellTableError, match=r'obs, X or obsm\["spatial"\] is not as AnnData has them'):
        load_anndata(tmp_path / "a.h5ad", ["CD8"])


def test_cells_that_say_nothing_of_a_marker_are_refused_and_not_negative():
    measured = Measured("k", cells([1.0], calls={"CD8": np.array([True])}), BOX, None, PX)
    require_markers(job(), measured, ["CD8"])
    with pytest.raises(CellTableError, match=r"S1: the cells are not called for PD-L1 and have no mean of its cell"):
        require_markers(job(), measured, ["CD8", "PD-L1"])
    with pytest.raises(CellTableError, match=r"need the column CD8_cell_mean, found none"):
        score_of(cells([1.0]), "CD8", compartment="cell", statistic="mean")


def test_a_cut_off_of_no_cells_says_so_and_is_no_failed_stain():
    cut = MarkerCut(Threshold("b", "CD8", None, "none", None, 0, 0, evaluable=False), verified=False)
    assert _failures("CD8", cut) == (
        Failure("stain_unverified", "the cut-off of CD8 cannot be evaluated: no cells in its pool"),
    )
    assert _failures("CD8", replace(cut, verified=True)) == ()
    none_positive = replace(cut, threshold=replace(cut.threshold, n_cells=9))
    assert "absent cells and a failed stain look alike" in _failures("CD8", none_positive)[0].reason


# --- regions


@pytest.mark.parametrize(
    ("method", "tissue", "says"),
    [
        ("marker", None, "no tissue is known"),
        ("marker", MultiPolygon(), "no tissue is known"),
        ("marker", BOX, "tumour cells are not known"),
        ("classifier", BOX, "needs an image; this slide has cells only"),
        ("annotation", BOX, "neither `Tumor` nor `Tissue` is annotated"),
    ],
)
def test_a_slide_whose_regions_cannot_be_known_is_refused(method, tissue, says):
    of = job(tumor={"method": method, "model": "some.model"})
    with pytest.raises(AnnotationError, match=f"S1: .*{says}"):
        find_regions(of, Measured("k", cells([1.0]), tissue, None, PX), tumor_cell=None)


def test_strokes_that_are_not_there_are_not_no_strokes(tmp_path):
    with pytest.raises(AnnotationError, match=r"the strokes cannot be opened \(No such file"):
        read_strokes(tmp_path / "S1.geojson", pixel_size=PX)


@pytest.mark.parametrize(
    ("modality", "channels", "side_um", "says"),
    [
        ("fluorescence", ("a", "b"), 2.0, "the tissue model is for brightfield slides, found fluorescence"),
        ("brightfield", ("b",), 2.0, "the tissue model looks at a, which the panel does not have"),
        ("brightfield", ("a", "b"), 3.1, "needs pixels of about 2 µm, this slide has 3.1 µm"),
        ("brightfield", ("a", "b"), 1.3, "needs pixels of about 2 µm, this slide has 1.3 µm"),
    ],
)
def test_a_tissue_model_is_not_used_on_slides_of_another_kind(monkeypatch, modality, channels, side_um, says):
    model = SimpleNamespace(modality="brightfield", channels=("a",))
    planes = SimpleNamespace(modality=modality, channels=channels, pixel_size=PixelSize(side_um, side_um))
    monkeypatch.setattr(examples, "read_tissue_model", lambda _: SimpleNamespace(model=model))
    monkeypatch.setattr(examples, "read_stain_planes", lambda *_: planes)
    with pytest.raises(ModelError) as refused:
        tumor_of_slide(Path("S1.stains.h5"), job().protocol.tumor, BOX)
    assert len(refused.value.problems) == 1
    assert says in refused.value.problems[0]
    assert fit_problems(model, "brightfield", ("a", "b")) == []


def test_one_model_does_not_learn_from_slides_of_two_modalities():
    slides = {n: SimpleNamespace(modality=n, channels=("dab",), brightness=(1.0,)) for n in ("brightfield", "fluor")}
    with pytest.raises(TrainingError, match="slides must be of one modality, found brightfield and fluor"):
        _channels(slides, ["dab"])


# --- images


def test_a_brightfield_panel_takes_no_channels_for_colours():
    brightfield = {"modality": "brightfield", "stains": {"h": {"marker": "nuclei", "vector": "hematoxylin"}}}
    of = replace(job(), protocol=parse_protocol({"panel": brightfield}))
    slide = SimpleNamespace(is_rgb=False, path="a.tif", channels=("DAPI", "CD8"), at=lambda _: pytest.fail("was read"))
    with pytest.raises(SlideError, match=r"the panel is brightfield, but the image is no RGB picture .*DAPI, CD8"):
        working_grid(slide, of, 0.5)


@pytest.mark.parametrize(("size", "planes", "count"), [(1, 1, MAX_PLANES + 1), (MAX_PLANES, 2, 1)])
def test_more_planes_than_any_file_has_are_refused_before_they_are_listed(size, planes, count):
    pixels = f'<Pixels SizeX="1" SizeY="1" SizeC="{size}" SizeZ="{planes}" SizeT="1"><TiffData PlaneCount="{count}"/>'
    with pytest.raises(ValueError, match="planes are declared, and at most 100000 can be"):
        ome_images(fromstring(f"<OME><Image>{pixels}</Pixels></Image></OME>"))


@pytest.mark.parametrize("dtype", ["float16", "complex64", "bool"])
def test_chunks_of_a_type_whose_range_is_not_known_are_refused(dtype):
    array = SimpleNamespace(shape=(8, 8), chunks=(8, 8), dtype=np.dtype(dtype))
    with pytest.raises(SlideError, match=f"pixels of type {dtype} cannot be scored"):
        ZarrLevel(Path("a.zarr"), array, "yx", [])


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((4, 5), np.uint8), "4 x 6 px are declared and 4 x 5 stored; the picture is damaged"),
        (np.zeros((4, 6, 2), np.uint8), "a grey picture with transparency cannot be scored"),
        (np.zeros((4, 6, 3), np.uint16), "colour pixels must be 8-bit; found uint16"),
    ],
)
def test_a_picture_that_is_not_what_its_header_says_is_refused(image, says):
    with pytest.raises(SlideError, match=says):
        _picture(Path("a.png"), (4, 6), lambda: image)


@pytest.mark.parametrize("shape", [(7, 8, 1), (8, 7, 1)])
def test_a_tile_smaller_than_its_header_is_not_stretched(shape):
    assert _cut(np.zeros((8, 8, 1)), (2, 8, 3, 8)).shape == (6, 5, 1)
    with pytest.raises(SlideError, match="is smaller than its header says"):
        _cut(np.zeros(shape), (2, 8, 3, 8))


@pytest.mark.parametrize(
    ("pages", "says"),
    [(["a", None, "c"], "lies in several files and some are missing"), (["a", "b"], "declared: 3 channels; stored: 2")],
)
def test_an_image_of_which_channels_are_missing_is_refused(pages, says):
    level = SimpleNamespace(axes="CYX", shape=(3, 9, 9), pages=pages, keyframe=SimpleNamespace(samplesperpixel=1))
    with pytest.raises(SlideError, match=says):
        _pages(level, Path("a.tif"))


def test_more_nuclei_than_a_label_can_number_are_refused():
    sizes = {"px_um": 0.5, "cell_expansion_um": 2.0, "large_nucleus_um2": 45.0, "large_expansion_um": 5.0}
    areas = np.ones(int(LABEL_MASK) + 1)
    with pytest.raises(SlideError, match=f"A tile holds at most {int(LABEL_MASK)} nuclei"):
        grow_cells(np.zeros((2, 2), np.int32), areas, scratch=Scratch(), **sizes)


# --- what is stored


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_an_overview_that_is_none_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(SlideError, match="the stored overview is missing or damaged"):
        read_overview(tmp_path / "a.png")


def test_colours_made_of_something_else_are_none(tmp_path):
    path, colours = tmp_path / "a.npz", np.array([[0.5, 0.25, 1.0]], np.float16)
    write_colours(path, colours, {"image": "x", "pixel": 0.5})
    assert read_colours(path, {"pixel": 0.5, "image": "x"}).tolist() == colours.tolist()
    assert read_colours(path).tolist() == colours.tolist()
    assert read_colours(path, {"image": "y", "pixel": 0.5}) is None
    assert read_colours(tmp_path / "none.npz") is None


@pytest.mark.parametrize("unknown", ["pixel_size", "extent_um"])
def test_labels_without_a_grid_are_not_written(monkeypatch, unknown):
    monkeypatch.setattr("spatial_til.io.exports.compartment_labels.slide_regions", lambda _: {})
    slide = SimpleNamespace(slide_id="S1", pixel_size=PX, extent_um=(9.0, 9.0))
    setattr(slide, unknown, None)
    with pytest.raises(SlideError, match="S1: the size of its image is not stored"):
        compartment_labels(slide, 2.0)


def test_a_value_without_a_column_is_a_fault_and_not_dropped():
    with pytest.raises(KeyError, match="table slide_scores has no column cd9_core"):
        table_text(SLIDE_SCORES, [{"slide_id": "S1", "cd9_core": 1.0}])
    line = table_text(SLIDE_SCORES, [{"slide_id": "S1", "p_desert": math.inf, "flags": ["a", "b"]}]).splitlines()[1]
    assert line.startswith("S1,")
    assert {"inf", "a;b"} <= set(line.split(","))


# --- a run


@pytest.mark.parametrize("changed", [False, True])
def test_a_score_whose_annotation_changed_meanwhile_is_not_kept(tmp_path, monkeypatch, changed):
    folder, drawn = ScoredFolder(tmp_path / "out"), tmp_path / "tumor.geojson"
    drawn.write_text("before")
    stale = folder.thumbnail("S1")
    for path in (folder.score("S1"), stale):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of an earlier run")

    def score(task):
        assert not folder.score("S1").exists()  # a run that is killed here must not look complete
        folder.score("S1").write_text("new")
        if changed:
            drawn.write_text("another tumour")
        return "report"

    monkeypatch.setattr(stages, "score", score)
    task = ScoreTask(replace(job(), annotations=(drawn,)), folder, folder, {}, "key")
    if changed:
        with pytest.raises(SlideError, match="S1: an annotation changed while it was read"):
            score_one(task)
        assert not folder.score("S1").exists()
    else:
        assert score_one(task) == "report"
        assert folder.score("S1").read_text() == "new"
        assert not stale.exists()  # this run makes no such file: the old one is of other cells


def test_cells_of_an_image_that_changed_meanwhile_are_not_kept(tmp_path, monkeypatch):
    folder, image = ScoredFolder(tmp_path / "out"), tmp_path / "a.tif"
    image.write_bytes(b"half")
    folder.measured("S1").parent.mkdir(parents=True)

    def measure(task):
        folder.measured("S1").write_text("cells")
        image.write_bytes(b"the whole image")

    monkeypatch.setattr(stages, "measure", measure)
    with pytest.raises(SlideError, match="changed while it was read: run again when it is complete"):
        measure_one(MeasureTask(job(image), folder))
    assert not folder.measured("S1").exists()


def test_a_marker_that_moves_into_the_nucleus_needs_the_pixels_again():
    def protocol(compartment):
        return parse_protocol(PROTOCOL | {"markers": {"CD8": {"compartment": compartment, "statistic": "mean"}}})

    def study(compartment):
        return Study((replace(job(), protocol=protocol(compartment)),), protocol(compartment))

    ways = (("cell", "nucleus"), ("nucleus", "cell"))
    moved = [_measure_problems(study(a), protocol(b), Path("p.toml")) for a, b in ways]
    assert moved == [["p.toml: a marker moved into or out of the nucleus, so cells must be measured again"]] * 2
    assert _measure_problems(study("cell"), protocol("membrane"), Path("p.toml")) == []


def test_an_installation_without_a_checkout_makes_its_sample_slides_once_and_whole(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(studies, "CHECKOUT", tmp_path / "empty")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"no sample slides at .*: run `spatial-til demo` in this folder"):
        sample_study()

    def stopped(folder):
        folder.mkdir()
        (folder / "study.csv").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spatial_til.phantoms.study.make_sample_study", stopped)
    with pytest.raises(StudyError, match=r"cannot be made \(No space left on device\): go to another folder"):
        sample_study(make=True)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]

    def whole(folder):
        folder.mkdir()
        (folder / "protocol.toml").write_text(BRIGHTFIELD)
        (folder / "a.tif").write_bytes(b"")
        (folder / "study.csv").write_text("slide_id,patient_id,timepoint,image\nS1,P1,baseline,a.tif\n")

    monkeypatch.setattr("spatial_til.phantoms.study.make_sample_study", whole)
    made = sample_study(make=True)
    monkeypatch.setattr("spatial_til.phantoms.study.make_sample_study", stopped)  # not made again
    assert sample_study(make=True).jobs == made.jobs
    assert [job.image for job in made.jobs] == [tmp_path / "sample_slides" / "a.tif"]
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "sample_slides"}
