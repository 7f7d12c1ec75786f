"""A study of tiny synthetic slides that runs in seconds, and how two scored folders are compared."""

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from spatial_til.phantoms.files import SlideFormat, write_slide
from spatial_til.synthetic import render_brightfield, tissue_scene

PIXEL_UM = 0.5
PROTOCOL = """
[panel]
modality = "brightfield"
white = "auto"
[panel.stains]
hematoxylin = { marker = "nuclei", vector = "hematoxylin" }
dab = { marker = "CD8", vector = "dab" }
[compartments]
inner_um = 60
outer_um = 60
tissue_edge = "margin"
[gates]
min_core_mm2 = 0.001
min_margin_mm2 = 0.001
min_border_um = 50
min_tiles = 2
[statistics]
bootstrap = 100
permutations = 19
tile_um = 50
"""


def make_study(folder: Path, slides: int = 2, side_um: float = 300.0, broken: int = 0) -> Path:
    """Write a study of one patient a slide pair, and return its sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "protocol.toml").write_text(PROTOCOL)
    image = None
    rows = []
    for k in range(slides):
        slide = folder / f"S{k:03d}.ome.tif"
        if k < 2:
            scene = tissue_scene((side_um, side_um), seed=k, bands_um=60, glass=False)
            image = render_brightfield(scene, PIXEL_UM)
            write_slide(slide, image, SlideFormat(PIXEL_UM), levels=2)
        else:
            shutil.copyfile(folder / f"S{k % 2:03d}.ome.tif", slide)
        if k >= slides - broken:
            slide.write_bytes(slide.read_bytes()[:5000])
        rows.append(
            {
                "slide_id": f"S{k:03d}",
                "patient_id": f"P{k // 2:03d}",
                "timepoint": ("baseline", "on_treatment")[k % 2],
                "image": slide.name,
                "annotation": "tumor.geojson",
                "response": ("yes", "no")[k // 2 % 2],
            }
        )
    half = side_um / PIXEL_UM / 2
    ring = [[0, 0], [half, 0], [half, 2 * half], [0, 2 * half], [0, 0]]
    region = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }
    (folder / "tumor.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [region]}))
    sheet = folder / "study.csv"
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return sheet


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "spatial_til.cli", *map(str, arguments)]


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=900, **options)


def files(folder: Path) -> int:
    """Return how many files a folder holds, one that is being written to as well."""
    return sum(len(names) for _, _, names in os.walk(folder))


def kill(started: subprocess.Popen[bytes], out: Path, wanted: int, later_s: float = 0.0) -> bool:
    """Kill a run some time after its folder holds a number of files; return whether it was still at work."""
    while started.poll() is None and files(out) < wanted:
        time.sleep(0.002)
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(later_s)
    started.send_signal(signal.SIGKILL)
    return started.wait() == -signal.SIGKILL


def contents(folder: Path, *, history: bool = True) -> dict[str, bytes]:
    """Return every file of a scored folder by its path; of run.json all but times and memory.

    Without `history` also without what run.json says of the run before.
    """
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.name == "run.json":
            record = without_times(json.loads(data))
            if not history:
                del record["thresholds_changed"]
            data = json.dumps(record, sort_keys=True).encode()
        found[os.fspath(path.relative_to(folder))] = data
    return found


def without_times(record: dict) -> dict:
    record = dict(record)
    del record["finished"]
    for slide in record["slides"].values():
        for stage in slide["stages"].values():
            assert set(stage) == {"seconds", "peak_mib"}
            stage.clear()
    return record


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
