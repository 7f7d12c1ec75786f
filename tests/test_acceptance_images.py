"""Small slides through the command line: sides of pixels, given labels, channels, and what fails alone."""

from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile

from spatial_til.synthetic import CHANNELS, label_images, render_fluorescence, tissue_scene
from tests.acceptance_study import PIXEL_UM, PROTOCOL, command, table, write_regions, write_sheet
from tests.inline import stages_here  # noqa: F401

SIDE_UM = 240.0
PANEL = "".join(
    f'{name} = {{ marker = "{ {"DAPI": "nuclei", "SOX10": "tumor"}.get(name, name) }" }}\n' for name in CHANNELS
)


def _write(path: Path, image: np.ndarray, x_um: float = PIXEL_UM) -> None:
    sizes = {"PhysicalSizeX": x_um, "PhysicalSizeY": PIXEL_UM, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(image, photometric="minisblack", metadata={"axes": "CYX", "Channel": {"Name": CHANNELS}, **sizes})


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    start, end = PROTOCOL.index("DAPI"), PROTOCOL.index("[compartments]")
    text = PROTOCOL[: PROTOCOL.index("[cells.positive]")].replace("er_um = 100", "er_um = 50")
    (folder / "protocol.toml").write_text(text.replace(PROTOCOL[start:end], PANEL))
    (folder / "other.toml").write_text(text.replace(PROTOCOL[start:end], PANEL.replace("DAPI", "Hoechst")))
    scene = tissue_scene((SIDE_UM, SIDE_UM), seed=3, bands_um=50, glass=False)
    image = np.moveaxis(np.asarray(render_fluorescence(scene, PIXEL_UM)), 2, 0)
    nuclei = label_images(scene, PIXEL_UM)[0].astype(np.uint32)
    nuclei[nuclei > 0] += 70_000
    _write(folder / "square.ome.tif", image)
    _write(folder / "oblong.ome.tif", np.repeat(image, 2, axis=2), PIXEL_UM / 2)
    tifffile.imwrite(folder / "square_labels.tif", nuclei)
    tifffile.imwrite(folder / "oblong_labels.tif", np.repeat(nuclei, 2, axis=1))
    tifffile.imwrite(folder / "cropped_labels.tif", nuclei[:-10])
    regions = {"Tissue": shapely.box(0, 0, SIDE_UM, SIDE_UM), "Tumor": shapely.box(0, 0, SIDE_UM / 2, SIDE_UM)}
    write_regions(folder / "square.geojson", **regions)
    write_regions(folder / "oblong.geojson", lambda xy: xy * [2, 1], **regions)

    def row(slide_id: str, image: str, **more: object) -> dict[str, object]:
        usual = {"slide_id": slide_id, "patient_id": slide_id, "timepoint": "baseline", "image": f"{image}.ome.tif"}
        return {**usual, "annotation": f"{image}.geojson", **more}

    rows = [
        row("square", "square"),
        row("oblong", "oblong"),
        row("square_labels", "square", labels="square_labels.tif"),
        row("oblong_labels", "oblong", labels="oblong_labels.tif"),
        row("cropped_labels", "square", labels="cropped_labels.tif"),
        row("missing_channel", "square", protocol="other.toml"),
    ]
    write_sheet(folder / "study.csv", rows)
    command("score", folder / "study.csv", "--out", folder / "out", "--workers", 1, "--quiet", status=1)
    return folder / "out"


@pytest.fixture(scope="module")
def slides(scored: Path) -> dict[str, dict[str, str]]:
    return {row["slide_id"]: row for row in table(scored, "tables/slide_scores.csv")}


def test_only_the_unusable_slides_fail(scored):
    failed = {row["slide_id"]: row["message"] for row in table(scored, "errors.csv")}
    assert set(failed) == {"cropped_labels", "missing_channel"}
    assert "must have the image's 480 x 480 pixels, found 480 x 470" in failed["cropped_labels"]
    assert "Channel 'Hoechst' is not in the slide" in failed["missing_channel"]


@pytest.mark.parametrize("labels", ["", "_labels"])
def test_oblong_pixels_give_the_same_numbers_as_square_ones(slides, labels):
    square, oblong = slides[f"square{labels}"], slides[f"oblong{labels}"]
    assert "anisotropic_pixels" in oblong["flags"]
    assert "anisotropic_pixels" not in square["flags"]
    for name in ("n_cells", "n_cd8", "n_pdl1", "n_tumor_cells"):
        assert int(square[name]) == int(oblong[name]) > 0
    for name in ("core_mm2", "inner_margin_mm2", "outer_margin_mm2", "tissue_mm2", "border_stroma_um"):
        assert float(square[name]) == pytest.approx(float(oblong[name]), rel=1e-9)
    assert float(square["tissue_mm2"]) == pytest.approx(SIDE_UM**2 / 1e6, rel=1e-9)


def test_given_labels_are_the_nuclei(slides):
    scene = tissue_scene((SIDE_UM, SIDE_UM), seed=3, bands_um=50, glass=False)
    n_labels = len(np.unique(label_images(scene, PIXEL_UM)[0])) - 1
    assert int(slides["square_labels"]["n_cells"]) == pytest.approx(n_labels, rel=0.02)  # but for slivers


def test_check_finds_labels_of_another_size(scored, capsys):
    command("check", scored.parent / "study.csv", status=2)
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in told] == ["cropped_labels", "missing_channel"]
