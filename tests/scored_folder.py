"""A small scored folder made without pixels: cells drawn by hand, scored as stored cells are."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from shapely.geometry import MultiPolygon, box

from spatial_til.batch import rescore
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import Measured, write_measured
from spatial_til.model import Cells, SlideMeta
from spatial_til.protocol import parse_protocol
from spatial_til.run_record import record_job
from spatial_til.study import Job
from spatial_til.units import PixelSize
from tests.inline import in_this_process

TISSUE = box(100, 100, 1500, 1300)
TUMOR = box(400, 350, 1200, 1050)
PX = PixelSize(0.5, 0.5)
SIZE_UM = (1600.0, 1400.0)
MARKERS = ("CD8", "PD-L1", "tumor")
PROTOCOL = {
    "panel": {
        "modality": "fluorescence",
        "channels": {
            "DAPI": {"marker": "nuclei"},
            "A": {"marker": "CD8"},
            "B": {"marker": "PD-L1"},
            "C": {"marker": "tumor"},
        },
    },
    "markers": {name: {"threshold": 0.5, "compartment": "cell", "statistic": "mean"} for name in MARKERS},
    "compartments": {"inner_um": 100, "outer_um": 100},
    "gates": {"min_core_mm2": 0.05, "min_margin_mm2": 0.02, "min_border_um": 500, "min_tiles": 4},
    "statistics": {"permutations": 19, "bootstrap": 200, "tile_um": 100},
}
HOSTILE = "<script>document.title='hacked'</script>\"'&=1+1"


@dataclass(frozen=True)
class Plan:
    """One slide: who, when, and CD8+ cells per mm² in the tumour and around it."""

    slide_id: str
    patient_id: str
    timepoint: str
    inside: float
    around: float
    lesion: str = "L1"
    batch: str = "run 1"


PLANS = (
    Plan("A_base", "A", "baseline", 20, 700),
    Plan("A_on", "A", "on_treatment", 700, 700),
    Plan("A_prog", "A", "progression", 15, 700),
    Plan("H_base", HOSTILE, "baseline", 500, 500, HOSTILE, HOSTILE),
    Plan("H_prog", HOSTILE, "progression", 20, 20, HOSTILE, HOSTILE),
)


def make_folder(root: Path, plans: tuple[Plan, ...] = PLANS) -> Path:
    """Write a folder as `score` leaves it, with one slide that was never measured, and return it."""
    root.mkdir(parents=True)
    folder = ScoredFolder(root)
    jobs = [_job(root, plan) for plan in plans]
    for plan in plans:
        write_measured(folder.measured(plan.slide_id), _measured(plan))
        cv2.imwrite(str(folder.overview(plan.slide_id)), _photo())
    missing = replace(jobs[0], meta=replace(jobs[0].meta, slide_id="never_measured", patient_id="Z"))
    protocol = parse_protocol(PROTOCOL, "test")
    study = {"path": None, "extra_columns": [], "jobs": [record_job(job) for job in (*jobs, missing)]}
    folder.run.write_text(json.dumps({"protocol": protocol.resolved(), "study": study}, default=str))
    with in_this_process():
        rescore(root, None, workers=1, quiet=True)
    return root


def _job(root: Path, plan: Plan) -> Job:
    path = root / "drawn.geojson"
    features = [
        {"type": "Feature", "geometry": shape.__geo_interface__, "properties": {"classification": {"name": name}}}
        for name, shape in (("Tissue", _pixels(TISSUE)), ("Tumor", _pixels(TUMOR)))
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    meta = SlideMeta(
        plan.slide_id, plan.patient_id, plan.timepoint, plan.lesion, batch=plan.batch, site=plan.batch, response="PR"
    )
    return Job(meta=meta, image=root / "none.tif", protocol=parse_protocol(PROTOCOL, "test"), annotations=(path,))


def _pixels(shape):
    return box(*(value / PX.x_um for value in shape.bounds))


def _measured(plan: Plan) -> Measured:
    """Draw cells on a grid with jitter; a fixed share of them is positive, by place."""
    rng = np.random.default_rng(sum(plan.slide_id.encode()))
    n = 2500
    x, y = rng.uniform(100, 1500, n), rng.uniform(100, 1300, n)
    order = np.lexsort((x, y))
    x, y = x[order], y[order]
    inside = (x > 400) & (x < 1200) & (y > 350) & (y < 1050)
    per_mm2 = n / (TISSUE.area / 1e6)
    cd8 = rng.random(n) < np.where(inside, plan.inside, plan.around) / per_mm2
    tumor = inside & ~cd8
    pdl1 = rng.random(n) < np.where(inside, 0.2, 0.05)
    measurements = {}
    for marker, positive in (("CD8", cd8), ("PD-L1", pdl1), ("tumor", tumor)):
        level = np.where(positive, rng.normal(1, 0.1, n), rng.normal(0.1, 0.05, n)).astype(np.float32)
        measurements |= {f"{marker}_{part}_mean": level for part in ("nucleus", "cytoplasm", "membrane", "cell")}
    return Measured(
        key=plan.slide_id,
        cells=Cells(x, y, np.full(n, 30.0), np.full(n, 60.0), measurements=measurements),
        tissue=MultiPolygon([TISSUE]),
        image_box=(0.0, 0.0, *SIZE_UM),
        pixel_size=PX,
        numbers={"artefact_fraction": 0.0, "overview_um": list(SIZE_UM), "warnings": [HOSTILE]},
        settings={"modality": "fluorescence", "segmenter": "watershed", "pixel size": "about 0.5 µm"},
    )


def many_times(folder, root, copies):
    """Copy a made folder and store every slide of it so many times over, each copy as a patient of its own."""
    shutil.copytree(folder, root)
    many = ScoredFolder(root)
    run = json.loads(many.run.read_text())
    jobs = {job["meta"]["slide_id"]: job for job in run["study"]["jobs"]}
    run["study"]["jobs"] = []
    for copy in range(copies):
        for plan in PLANS:
            slide_id = f"{plan.slide_id}_{copy}"
            for place in (many.measured, many.overview, many.cells, many.regions):
                place(slide_id).hardlink_to(place(plan.slide_id))
            text = many.score(plan.slide_id).read_text()
            values = json.loads(text.replace(f'"{plan.slide_id}"', f'"{slide_id}"'))
            values["meta"] |= {"patient_id": f"P{copy}"}
            many.score(slide_id).write_text(json.dumps(values))
            job = jobs[plan.slide_id]
            run["study"]["jobs"].append(job | {"meta": job["meta"] | {"slide_id": slide_id, "patient_id": f"P{copy}"}})
    many.run.write_text(json.dumps(run))
    return root


def _photo():
    """A photograph without compressible flatness: as heavy as a real one."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(90, 230, (175, 200, 3), dtype=np.uint8)
    return cv2.GaussianBlur(cv2.resize(coarse, (1400, 1225), interpolation=cv2.INTER_CUBIC), (0, 0), 1.2)
