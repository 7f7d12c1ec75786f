"""A commented protocol with every key at its default, from the same definitions that validate it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spatial_til.errors import SpatialTilError
from spatial_til.protocol import Protocol
from spatial_til.protocol_panel import Fluorescence
from spatial_til.protocol_sections import Marker

_EXAMPLE_PANEL = """\
# How this study is scored. Every key is optional but the panel; values shown are the defaults.
# "Project default" means ours, not a published cut-off.

[panel]
modality = "brightfield"   # or "fluorescence"
white = "auto"             # brightfield: the slide's own background white, or [r, g, b]

# Brightfield: at most three stains; the key is free. vector: a preset's name (hematoxylin, dab, aec,
# fast_red, new_fuchsin ...), "auto", or the optical densities [r, g, b] of the pure stain.
[panel.stains]
hematoxylin = { marker = "nuclei", vector = "hematoxylin" }
dab = { marker = "CD8", vector = "dab" }
red = { marker = "PD-L1", vector = [0.21, 0.85, 0.48] }

# Fluorescence instead: the key is the channel's name in the file, or its index.
# [panel.channels]
# DAPI = { marker = "nuclei" }
# Opal570 = { marker = "CD8" }
# Opal690 = { marker = "PD-L1" }
# Opal780 = { marker = "tumor" }     # SOX10, S100, cytokeratin: tumour cells
"""


_EXAMPLE_POPULATION = """\
# Further populations, from calls: & and, | or, ! not, parentheses.
[populations]
# exhausted = "CD8+ & LAG3+ & TIM3+"
"""


def template() -> str:
    """Return a commented protocol with every key at its default: what ``spatial-til init`` writes."""
    parts = [_EXAMPLE_PANEL, _section_text("fluorescence", Fluorescence)]
    parts += [_section_text(f'markers."{name}"', Marker) for name in ("CD8", "PD-L1")]
    parts.append(_EXAMPLE_POPULATION)
    names = {name: f.annotation for name, f in Protocol.model_fields.items()}
    for name in list(names)[4:]:
        parts.append(_section_text(name, names[name]))
    return "\n".join(parts)


def _section_text(name: str, section: Any) -> str:
    lines = [f"# {section.__doc__.splitlines()[0]}", f"[{name}]"]
    for key, entry in section.model_fields.items():
        value = entry.get_default(call_default_factory=True)
        if isinstance(value, dict):
            lines.append(f"# {key} = {{}}   # {entry.description}")
        else:
            lines.append(f"{key} = {_toml(value)}   # {entry.description}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) >= 2 else str(value)
    return json.dumps(value)


_EXAMPLE_STUDY = """\
slide_id,patient_id,timepoint,image,annotation,batch,lesion,biopsy_date,treatment_start,response
P01_baseline,P01,baseline,slides/P01_baseline.ome.tif,annotations/P01_baseline.geojson,run1,skin_left_arm,2025-01-10,2025-01-20,PR
P01_on,P01,on_treatment,slides/P01_on.ome.tif,annotations/P01_on.geojson,run1,skin_left_arm,2025-02-17,2025-01-20,PR
P01_prog,P01,progression,slides/P01_prog.ome.tif,annotations/P01_prog.geojson,run1,skin_left_arm,2026-01-15,2025-01-20,PR
"""


def write_example(folder: Path) -> tuple[Path, Path]:
    """Write ``protocol.toml`` and an example ``study.csv`` to a folder; never over existing files.

    Raises
    ------
    SpatialTilError
        Where one of them exists already, or the folder cannot be written.
    """
    protocol, study = folder / "protocol.toml", folder / "study.csv"
    existing = [str(path) for path in (protocol, study) if path.exists()]
    if existing:
        msg = f"{', '.join(existing)} exists already and is not overwritten: give another folder"
        raise SpatialTilError(msg)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        protocol.write_text(template(), encoding="utf-8")
        study.write_text(_EXAMPLE_STUDY, encoding="utf-8")
    except OSError as error:
        msg = f"{folder} cannot be written ({error.strerror}): give another folder"
        raise SpatialTilError(msg) from None
    return protocol, study
