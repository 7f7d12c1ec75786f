"""Texts of the sample study: its two protocols and the description of its truth."""

_COMMON = """
[compartments]
inner_um = 250
outer_um = 250

[gates]                     # the defaults, in proportion to bands of half the width
min_core_mm2 = 0.0625
min_margin_mm2 = 0.025
min_border_um = 500
"""

PROTOCOL = (
    """# The sample study: about 2 mm of tissue a slide, so bands of 250 µm and gates in proportion.

[panel]
modality = "brightfield"
white = "auto"

[panel.stains]
hematoxylin = { marker = "nuclei", vector = "hematoxylin" }
dab = { marker = "CD8", vector = "dab" }
red = { marker = "PD-L1", vector = [0.21, 0.85, 0.48] }
"""
    + _COMMON
)

FLUORESCENCE_PROTOCOL = (
    """# The fluorescence slides of the sample study.

[panel]
modality = "fluorescence"

[panel.channels]
DAPI = { marker = "nuclei" }
CD8 = { marker = "CD8" }
PD-L1 = { marker = "PD-L1" }
SOX10 = { marker = "tumor" }

[markers.tumor]
compartment = "nucleus"
statistic = "mean"
"""
    + _COMMON
)

TRUTH_README = """# Truth of the sample study

The slides are synthetic: made by `python -m spatial_til.synthetic`, the same every time. Nobody's tissue is in them.

| file | what |
|---|---|
| `cells.csv.gz` | every cell; columns below |
| `areas.csv` | area of each compartment by its definition: bands of 250 µm, cut edges no margin |
| `slides.csv` | the class of each slide; counts and densities of CD8+ and PD-L1+ in core and margin |
| `transitions.csv` | the call of each transition |

Columns of `cells.csv.gz`: `x_um, y_um` (centroid of the nucleus), `nucleus_area_um2`, `kind`, `CD8` and `PD-L1`
(1 = positive), `compartment`, `border_distance_um` (negative in the tumour).

P01 reverts to excluded: the progression biopsy is cut through the tumour, so part of the tumour's outline is no margin.
P02 stays a desert; with so few cells no change can be told from none, and the call is indeterminate.
P03 stays inflamed. P04 (fluorescence) has no on-treatment biopsy and loses its infiltrate in core and margin alike.
"""

README = """# Sample study

Four invented patients, eleven synthetic slides of about 2 mm of tissue at 0.5 µm per pixel, with exact truth.

    spatial-til score sample_slides/study.csv --protocol sample_slides/protocol.toml --out demo_results

| | baseline | on_treatment | progression | |
|---|---|---|---|---|
| P01 | excluded | inflamed | excluded, cut through the tumour | reversion to excluded |
| P02 | desert | desert | desert | too few cells to tell a change |
| P03 | inflamed | inflamed | inflamed | sustained infiltration |
| P04, fluorescence | inflamed | not sampled | desert | global loss |

Brightfield: hematoxylin, CD8 in brown, PD-L1 in red. Fluorescence: DAPI, CD8, PD-L1, SOX10. `slides/` holds pyramidal
OME-TIFFs, `annotations/` regions as QuPath writes them, `truth/` every cell and every area.
Made by `python -m spatial_til.synthetic sample_slides`.
"""
