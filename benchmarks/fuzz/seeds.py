"""Valid files of every kind, from the project's own writers and from those of its tests."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from spatial_til.io.folder import ScoredFolder
from spatial_til.io.labels import write_labels
from spatial_til.io.stain_planes import write_stain_planes
from spatial_til.io.tissue_model import write_tissue_model
from spatial_til.phantoms.files import SlideFormat, write_slide
from spatial_til.protocol_template import write_example
from spatial_til.review.events import (
    CallFlip,
    CellAdded,
    CellRemoved,
    ClassOverride,
    RegionEdit,
    SessionClosed,
    SessionOpened,
    ThresholdEdit,
    Undo,
)
from spatial_til.review.journal import open_journal
from spatial_til.units import PixelSize
from tests import test_io_annotations as annotations
from tests import test_io_cell_tables as cell_tables
from tests import test_io_slides_written as slides
from tests import test_io_slides_zarr as zarrs
from tests.batch_study import PROTOCOL
from tests.scored_folder import PLANS, TUMOR, make_folder
from tests.test_examples_training import trained

RNG = np.random.default_rng(12)
COLOUR = RNG.integers(0, 256, (150, 200, 3), dtype=np.uint8)
GREY = RNG.integers(0, 60_000, (3, 150, 200), dtype=np.uint16)


def slide_files(folder: Path) -> list[str]:
    """Write TIFFs of most dialects and one picture of each other kind; return those to damage."""
    write_slide(folder / "colour.ome.tif", COLOUR, SlideFormat(0.5), levels=2)
    for name, options in {
        "planes.ome.tif": {"tile": (64, 64), "compression": "lzw", "metadata": slides.ome_metadata()},
        "float.ome.tif": {"rowsperstrip": 32, "metadata": slides.ome_metadata()},
        "imagej.tif": {"imagej": True, "metadata": {"unit": "um", "axes": "CYX"}, "resolution": (2.0, 2.0)},
        "big.tif": {"bigtiff": True, "tile": (64, 64), "compression": "zstd", "predictor": True, "metadata": None},
        "motorola.tif": {"byteorder": ">", "rowsperstrip": 10, "compression": "packbits", "metadata": None},
    }.items():
        image = GREY.astype(np.float32) if name.startswith("float") else GREY
        tifffile.imwrite(folder / name, image, photometric="minisblack", **options)
    for name, compression in {"jpeg.svs": "jpeg", "j2k.svs": "jpeg2000", "none.svs": None}.items():
        slides.write_svs(folder / name, compression)
    slides.write_ndpi(folder / "a.ndpi", COLOUR, 1e4 / 0.2208)
    slides.write_bif(folder / "a.bif", 0)
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": None, "software": "PerkinElmer-QPI"}
    with tifffile.TiffWriter(folder / "a.qptiff") as tif:
        for name, plane in zip(("DAPI", "Opal 570", "Opal 690"), GREY, strict=True):
            tif.write(plane, description=slides.qptiff_text(name, 0.5), tile=(64, 64), compression="lzw", **options)
    with tifffile.TiffWriter(folder / "a.scn", bigtiff=True) as tif:
        for image in (slides.COLOUR[:80, :100], slides.COLOUR, slides.COLOUR[::4, ::4]):
            tif.write(image, description=slides.SCN, photometric="rgb", metadata=None, tile=(64, 64))
    return sorted(path.name for path in folder.iterdir())


def picture_files(folder: Path) -> list[str]:
    """Write PNG and JPEG of colours and of grey."""
    (folder / "a.png").write_bytes(imagecodecs.png_encode(COLOUR))
    (folder / "b.png").write_bytes(imagecodecs.png_encode(GREY[0]))
    (folder / "a.jpg").write_bytes(imagecodecs.jpeg_encode(COLOUR))
    (folder / "b.jpg").write_bytes(imagecodecs.jpeg_encode(np.ascontiguousarray(COLOUR[..., 0])))
    return sorted(path.name for path in folder.iterdir())


def companion_files(folder: Path) -> list[str]:
    """Write an OME-TIFF of several files."""
    slides.write_multifile(folder)
    return ["m.companion.ome"]


def ome_xml_files(folder: Path) -> list[str]:
    """Write the XML of an OME-TIFF, to be put into one."""
    write_slide(folder / "colour.ome.tif", COLOUR, SlideFormat(0.5), levels=2)
    with tifffile.TiffFile(folder / "colour.ome.tif") as tif:
        (folder / "colour.xml").write_bytes((tif.pages[0].description or "").encode())
    tifffile.imwrite(folder / "b.ome.tif", GREY, photometric="minisblack", metadata=slides.ome_metadata())
    with tifffile.TiffFile(folder / "b.ome.tif") as tif:
        (folder / "planes.xml").write_bytes((tif.pages[0].description or "").encode())
    (folder / "qpi.xml").write_text(slides.qptiff_text("DAPI", 0.5))
    return ["colour.xml", "planes.xml", "qpi.xml"]


def zarr_files(folder: Path) -> list[str]:
    """Write OME-Zarr of both versions."""
    for version in ("0.4", "0.5"):
        zarrs.write_zarr(folder / version, version, image=GREY[:, :64, :64])
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def geojson_files(folder: Path) -> list[str]:
    """Write QuPath annotations of every form, and lines as examples of tissue."""
    polygon, square, hole = annotations.polygon, annotations.SQUARE, annotations.HOLE
    far = [[x + 400, y, 0] for x, y in square]
    features = [
        annotations.feature(polygon(square, hole)),
        annotations.feature({"type": "MultiPolygon", "coordinates": [[square], [far]]}, "Tissue"),
        annotations.feature({"type": "GeometryCollection", "geometries": [polygon(far)]}, "Exclude"),
        annotations.feature(polygon(square) | {"isEllipse": True}, "No margin"),
        annotations.feature({"type": "LineString", "coordinates": square[:3]}, "Stroma"),
        annotations.feature({"type": "Point", "coordinates": square[0]}),
    ]
    nested = {"type": "Feature", "geometry": None, "properties": {"objectType": "root"}, "childObjects": features}
    for name, data in {"a": {"type": "FeatureCollection", "features": features}, "b": nested, "c": features}.items():
        (folder / f"{name}.geojson").write_text(json.dumps(data), "utf-8")
    return ["a.geojson", "b.geojson", "c.geojson"]


def xml_files(folder: Path) -> list[str]:
    """Write ImageScope, HALO and ASAP XML."""
    square, hole, region, layer = annotations.SQUARE, annotations.HOLE, annotations.region, annotations.layer
    for name, kinds, tag in (
        ("scope.xml", "012", "Vertex"),
        ("halo.annotations", ("Polygon", "Rectangle", "Ellipse"), "V"),
    ):
        text = annotations.layers(
            layer("Tumor", region(square[:-1], kinds[0], tag=tag), region(hole, kinds[0], 1, tag)),
            layer("Exclude", region([(600, 100), (800, 200)], kinds[1], tag=tag)),
            layer("Tissue", region([(600, 100), (900, 300)], kinds[2], tag=tag)),
        )
        (folder / name).write_text(text, "utf-8")
    points = [f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(square)]
    inside = f"<Coordinates>{''.join(points)}</Coordinates>"
    one = f'<Annotation Name="a" Type="Polygon" PartOfGroup="Tumor">{inside}</Annotation>'
    (folder / "asap.xml").write_text(f"<ASAP_Annotations><Annotations>{one * 2}</Annotations></ASAP_Annotations>")
    return ["scope.xml", "halo.annotations", "asap.xml"]


def sheet_files(folder: Path) -> list[str]:
    """Write a sheet with every column of the contract and two of its own, and the files it names."""
    (folder / "protocol.toml").write_text(PROTOCOL)
    for name in ("a.tif", "b c é.tif", "t.geojson", "cells.csv"):
        (folder / name).write_bytes(b"x")
    columns = (
        "slide_id,patient_id,timepoint,image,annotation,labels,cells,tissue_area_mm2,batch,control,protocol,pixel_size_um,"
        "lesion,site,biopsy_date,treatment_start,biopsy_type,therapy,tumor_type,interval_therapy,response,response_months,"
        "genotype,ldh"
    )
    rows = (
        "S1,P1,baseline,a.tif,t.geojson;t.geojson,,,,b1,,,0.5,L1,skin,2024-01-02,2024-02-01,core,ipi,melanoma,,PR,8,BRAF,200",
        "S2,P1,on_treatment,b c é.tif,t.geojson,,,,b1,,protocol.toml,,L1,,2024-03-01,2024-02-01,,,,,PR,8,BRAF,",
        "S3,P2,baseline,,t.geojson,,cells.csv,1.5,b2,,,1,,lymph_node,,,,,,,SD,,NRAS,310.5",
        "C1,,,a.tif,,,,,b1,negative,,,,,,,,,,,,,,",
    )
    (folder / "study.csv").write_text("\n".join((columns, *rows)) + "\n", "utf-8")
    (folder / "few.csv").write_text("slide_id,patient_id,timepoint,image\nS1,P1,baseline,a.tif\n")
    return ["study.csv", "few.csv"]


def protocol_files(folder: Path) -> list[str]:
    """Write the template with every key, and short protocols."""
    write_example(folder)
    (folder / "short.toml").write_text(PROTOCOL)
    (folder / "wide.toml").write_text(
        '[panel]\nmodality = "fluorescence"\n[panel.channels]\nDAPI = { marker = "nuclei" }\nA = { marker = "CD8" }\n'
        'B = { marker = "PD-L1" }\nC = { marker = "tumor" }\n[markers."CD8"]\nthreshold = 0.5\ncompartment = "cell"\n'
        '[markers."tumor"]\nloss = true\n[populations]\nx = "CD8+ & !PD-L1+ | (tumor)"\n[fluorescence]\n'
        "spillover = [[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.2], [0, 0, 0, 1]]\n"
        "[statistics]\nradii_um = [20, 30.5]\n"
        '[longitudinal]\ntimepoints = ["a", "b"]\nchanges_of = ["x"]\n[cells]\nx = "X"\ny = "Y"\n'
        'positive = { CD8 = "p" }\n'
    )
    return ["protocol.toml", "short.toml", "wide.toml"]


def table_files(folder: Path) -> list[str]:
    """Write cell tables of every vendor as text, one of them gzipped, and QuPath's cells as GeoJSON."""
    cell_tables.write_rows(folder / "inform.txt", cell_tables.inform_rows())
    cell_tables.write_rows(folder / "comma.txt", cell_tables.inform_rows("microns", ","), encoding="utf-16")
    halo = [["XMin", "XMax", "YMin", "YMax", "CD8 (Opal 520) Positive", "Cell Area (μm²)", "Classifier Label",
             "Image Tag"],
            [10, 20, 30, 50, 1, 80.5, "Tumor", "a"], [0, 4, 2, 6, 0, 20.25, "Stroma", "a"]]  # fmt: skip
    cell_tables.write_rows(folder / "halo.csv", halo, ",")
    cell_tables.write_rows(folder / "halo.csv.gz", halo, ",")
    qupath = [["Image", "Object type", "Classification", "Parent", "Centroid X µm", "Centroid Y µm", "Cell: Area µm^2",
               "Cell: CD8 mean"], ["s", "Cell", "CD8: PD-L1", "Annotation (Tumor)", 8, 4, 90, 1.5],
              ["s", "Cell", "", "", 2, 2, 50, 0]]  # fmt: skip
    cell_tables.write_rows(folder / "qupath.tsv", qupath)
    mcmicro = [["CellID", "CD8a", "PDL1_cellMask", "X_centroid", "Y_centroid", "Area", "phenotype"],
               [1, 5.5, 1, 10, 20, 100, "CD8+"], [2, 1.5, 3, 3.5, 0, 50, ""]]  # fmt: skip
    cell_tables.write_rows(folder / "mcmicro.csv", mcmicro, ",")
    cell_tables.write_rows(folder / "mapped.csv", [["X", "Y", "p"], [1, 2, "yes"], [3, 4, 0]], ",")
    shape = annotations.polygon(annotations.SQUARE)
    cell = {"type": "Feature", "geometry": shape, "nucleusGeometry": annotations.polygon(annotations.HOLE),
            "properties": {"objectType": "cell", "classification": {"name": "CD8"},
                           "measurements": [{"name": "Cell: CD8 mean", "value": 3.5}]}}  # fmt: skip
    other = cell | {"properties": {"objectType": "detection", "classification": {"names": ["CD8", "PD-L1"]},
                                   "measurements": {"Cell: CD8 mean": 1}}}  # fmt: skip
    (folder / "cells.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [cell, other]}))
    (folder / "twice.csv.gz").write_bytes(gzip.compress((folder / "halo.csv").read_bytes()))
    return sorted(path.name for path in folder.iterdir())


def anndata_files(folder: Path) -> list[str]:
    """Write an AnnData table."""
    import anndata
    import pandas as pd

    obs = pd.DataFrame({"phenotype": pd.Categorical(["CD8+", "x", "x"]), "n": [1.0, 2, 3]}, index=list("abc"))
    data = anndata.AnnData(X=np.array([[1.0, 5], [2, 6], [3, 7]]), obs=obs, var=pd.DataFrame(index=["CD8A", "DNA"]))
    data.obsm["spatial"] = np.array([[4.0, 9.0], [1.0, 2.0], [3.0, 2.0]])
    data.write_h5ad(folder / "a.h5ad")
    return ["a.h5ad"]


def label_files(folder: Path) -> list[str]:
    """Write label images of 16 and 32 bits, and the slide they belong to."""
    labels = np.kron(np.arange(300).reshape(15, 20), np.ones((10, 10), int))
    write_labels(folder / "a.ome.tif", labels, pixel_size=PixelSize(0.5, 0.5))
    tifffile.imwrite(folder / "b.tif", (labels * 400).astype(np.uint32), photometric="minisblack", compression="zlib")
    tifffile.imwrite(folder / "c.tif", labels.astype(np.int16), photometric="minisblack", rowsperstrip=8)
    write_slide(folder / "slide.ome.tif", COLOUR, SlideFormat(0.5), levels=1)
    return ["a.ome.tif", "b.tif", "c.tif"]


def planes_files(folder: Path) -> list[str]:
    """Write stored stain planes of both modalities."""
    for modality, n in (("brightfield", 3), ("fluorescence", 1)):
        tile = np.ones((512, 512, n), np.uint8 if modality == "brightfield" else np.float16)
        write_stain_planes(
            folder / f"{modality}.tif",
            iter([tile]),
            shape=(100, 120),
            channels=("nuclei", "CD8", "PD-L1")[:n],
            modality=modality,
            pixel_size=PixelSize(2.0, 2.0),
        )
    return ["brightfield.tif", "fluorescence.tif"]


def model_files(folder: Path) -> list[str]:
    """Write a tissue classifier."""
    write_tissue_model(folder / "model.json", trained())
    return ["model.json"]


def journal_files(folder: Path) -> list[str]:
    """Write a reader's journal with every kind of event."""
    from shapely.geometry import MultiPolygon

    edits = [
        SessionOpened(who="anna", slide_id="S1", measure_key="k", image_sha256="s", blinded=True, version="1"),
        RegionEdit(who="anna", region="tumor", geometry=MultiPolygon([TUMOR]), before={"a": 1.5}, after={"a": None}),
        ThresholdEdit(who="anna", marker="CD8", value=0.2, measure_key="k", image_sha256="s"),
        CallFlip(who="anna", x_um=1.5, y_um=2.5, marker="CD8", positive=True, measure_key="k"),
        CellRemoved(who="anna", x_um=3.0, y_um=4.0),
        CellAdded(who="anna", x_um=5.0, y_um=6.0, calls={"CD8": True}),
        Undo(who="anna", n=1),
        ClassOverride(who="anna", phenotype="desert", why="seen"),
        SessionClosed(who="anna"),
    ]
    with open_journal(ScoredFolder(folder), "S1", "anna") as journal:
        for event in edits:
            journal.append(event)
    return ["review/S1.anna.jsonl"]


def scored_files(choose: Callable[[ScoredFolder], list[Path]]) -> Callable[[Path], list[str]]:
    """Return a maker of a whole scored folder, of which some files are damaged."""

    def make(folder: Path) -> list[str]:
        once = folder.parent / ".scored"
        root = folder / "scored"
        shutil.copytree(once if once.exists() else make_folder(once, PLANS[:2]), root)
        slide = ScoredFolder(root)
        (slide.running).mkdir(exist_ok=True)
        lines = ['{"stage": "measure", "slide_id": "A_base", "what": "done", "seconds": 1.5, "peak_mib": 500.0}',
                 '{"stage": "score", "slide_id": "A_base", "what": "failed", "message": "x"}',
                 '{"stage": "measure", "slide_id": "A_on", "what": "started"}']  # fmt: skip
        slide.journal.write_text("\n".join(("", *lines)))
        slide.lock.write_text('{"pid": 1, "host": "other", "created": 1700000000.5}')
        slide.tiles("A_on").write_text("3/20")
        return [str(path.relative_to(folder)) for path in choose(slide)]

    return make
