"""The sections of a protocol: every key with its type, range, default and meaning.

Defaults marked "project default" are ours, not published cut-offs; published ones name their source.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from spatial_til.protocol_panel import NonNegative, Section, as_tuple

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Marker(Section):
    """How one marker is called."""

    compartment: Literal["nucleus", "cytoplasm", "membrane", "cell"] = Field(
        default="membrane", description="where the stain is: nucleus, cytoplasm, membrane, cell"
    )
    statistic: Literal["robust", "mean", "median", "p90", "positive_fraction"] = Field(
        default="robust",
        description="robust: membrane above its surroundings in the better half of the rim, a neighbour's left "
        "out; or mean, median, p90, positive_fraction",
    )
    threshold: Literal["auto"] | NonNegative = Field(
        default="auto",
        description="auto: one per staining batch; or OD (brightfield), intensity above background (fluorescence)",
    )
    thresholds_from: str = Field(
        default="",
        description="path of a thresholds.csv, relative to the protocol, whose cut-off is frozen here; empty: none",
    )
    loss: bool = Field(default=False, description="report loss on tumour cells (HLA class I, B2M)")


class Segmentation(Section):
    """How nuclei and cells are found."""

    method: Literal["watershed", "stardist", "cellpose", "instanseg"] = Field(
        default="watershed", description="watershed; stardist, cellpose, instanseg when installed"
    )
    weights: str = Field(
        default="", description="path of the network's weights, relative to the protocol; for the networks only"
    )
    pixel_size_um: Annotated[float, Field(ge=0.1, le=2)] = Field(
        default=0.5, description="µm per pixel read (QuPath's default)"
    )
    coarser_grid: bool = Field(
        default=True,
        description="brightfield: cells are found on pixels 1.5 times as large where that is 0.8 µm or less "
        "and no marker stains nuclei; false: on the pixels read",
    )
    min_nucleus_area_um2: NonNegative = Field(default=10.0, description="µm² (QuPath's default)")
    max_nucleus_area_um2: Positive = Field(default=400.0, description="µm² (QuPath's default)")
    threshold: Literal["auto"] | Positive = Field(
        default="auto",
        description="nuclear stain above local background; auto: from the slide's own contrast",
    )
    cell_expansion_um: NonNegative = Field(
        default=2.0, description="µm grown around lymphocyte-sized nuclei (1.5 in Kather 2018)"
    )
    large_nucleus_um2: Positive = Field(
        default=45.0, description="µm²; larger nuclei are grown by large_expansion_um (project default)"
    )
    large_expansion_um: NonNegative = Field(default=5.0, description="µm (QuPath's default)")
    cytoplasm_markers: tuple[str, ...] = Field(
        default=(),
        description='markers of the panel whose stain fills cells and guides their growth, as ["CK"]; none: blind',
    )
    guided_expansion_um: Positive = Field(
        default=8.0, description="µm that cells filled by cytoplasm_markers grow at most (project default)"
    )

    _cytoplasm = field_validator("cytoplasm_markers", mode="before")(as_tuple)


class Tumor(Section):
    """Where the tumour region comes from."""

    method: Literal["annotation", "marker", "classifier"] = Field(
        default="annotation", description="annotation, marker (density of tumour cells), classifier"
    )
    model: str = Field(
        default="", description="path of a trained classifier, relative to the protocol; for method = classifier only"
    )
    min_area_mm2: NonNegative = Field(
        default=0.01, description="mm²; smaller islands are dropped (project default; not for annotations)"
    )
    max_hole_mm2: NonNegative = Field(
        default=0.005, description="mm²; smaller holes are filled (project default; not for annotations)"
    )
    bandwidth_um: Positive = Field(
        default=50.0, description="µm, smoothing of density or probability before its contour (project default)"
    )


class CompartmentKeys(Section):
    """How tumour and tissue are divided."""

    inner_um: Positive = Field(default=500.0, description="µm inside the border (500 in Kather 2018)")
    outer_um: Positive = Field(default=500.0, description="µm outside the border (500 in Kather 2018)")
    tissue_edge: Literal["not_margin", "margin"] = Field(
        default="not_margin", description="not_margin, or margin: the plain buffer, blind to cut edges"
    )
    edge_tolerance_um: NonNegative = Field(
        default=30.0, description="µm; a border this near a cut edge is not margin (project default)"
    )
    holes: Literal["ignore", "border"] = Field(
        default="ignore", description="ignore, or border: a hole in the tumour is a border too"
    )
    adaptive: bool = Field(default=False, description="narrow the widths to fit small lesions, flagged")


class Gates(Section):
    """Below a gate: not evaluable, with the reason. All project defaults."""

    min_core_mm2: NonNegative = Field(default=0.25, description="mm² of core")
    min_margin_mm2: NonNegative = Field(default=0.1, description="mm², each of inner and outer margin")
    min_border_um: NonNegative = Field(default=1000.0, description="µm of evaluable border")
    min_tiles: Annotated[int, Field(ge=2)] = Field(default=8, description="tiles a compartment, for an interval")
    max_artefact_fraction: Fraction = Field(default=0.3, description="share of tissue")
    min_tumor_cells: Annotated[int, Field(ge=1)] = Field(
        default=100, description="cells; TPS, CPS, IC, loss and induction only (as asked of the 22C3 assay)"
    )


class Scores(Section):
    """Cut-offs of the immunophenotype and the site of immune activity."""

    rule: Literal["density_ratio", "kather2018", "grid"] = Field(
        default="density_ratio", description="density_ratio (project rule), kather2018, grid"
    )
    hot_cd8_per_mm2: Positive = Field(
        default=295.0, description="CD8+ per mm² (Kather 2018 pan-cancer cut-off; stain dependent)"
    )
    excluded_log2_ratio: float = Field(
        default=-1.0, description="log2 core:margin at or below it is excluded (project default)"
    )
    activity_cd8_per_mm2: Positive = Field(default=100.0, description="per mm² (project default)")
    activity_pdl1_per_mm2: Positive = Field(default=100.0, description="per mm² (project default)")
    min_class_probability: Fraction = Field(
        default=0.8, description="a less probable class is indeterminate (project default)"
    )


class Statistics(Section):
    """Intervals and nulls."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(default=0.95, description="of every interval")
    bootstrap: Annotated[int, Field(ge=100)] = Field(default=2000, description="replicates")
    permutations: Annotated[int, Field(ge=19)] = Field(default=199, description="of every null")
    tile_um: Positive = Field(default=200.0, description="µm, side of the spatial tiles")
    radii_um: tuple[Positive, ...] = Field(
        default=(20.0, 30.0, 50.0), description="µm, of neighbour counts, G and K (20 in Barua 2018)"
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="of all random numbers")

    _radii = field_validator("radii_um", mode="before")(as_tuple)


class Longitudinal(Section):
    """How time points are compared."""

    timepoints: tuple[str, ...] = Field(
        default=("baseline", "on_treatment", "progression"), description="in their order"
    )
    allow_cross_batch: bool = Field(default=False, description="call changes between staining batches")
    max_baseline_days: Positive = Field(default=90.0, description="days before treatment (project default)")
    early_on_treatment_days: Positive = Field(
        default=60.0, description="days after treatment start (after Vilain 2017: two months)"
    )
    min_margin_cd8_per_mm2: Positive = Field(
        default=100.0, description="CD8+ per mm² that a held margin still has (project default)"
    )
    changes_of: tuple[str, ...] = Field(
        default=(), description='further populations whose change is reported, such as "LAG3+"'
    )

    _names = field_validator("timepoints", "changes_of", mode="before")(as_tuple)

    @field_validator("timepoints")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or len(set(names)) < len(names) or not all(n.strip() for n in names):
            msg = f"time points must be named and distinct, found {list(names)}"
            raise ValueError(msg)
        return names


class CellColumns(Section):
    """Columns of cell tables that cannot be recognised."""

    x: str = Field(default="", description="column of x; empty: recognise the table by itself")
    y: str = Field(default="", description="column of y")
    nucleus_area_um2: str = Field(default="", description="column of the nucleus area in µm²; empty: none")
    cell_area_um2: str = Field(default="", description="column of the cell area in µm²; empty: none")
    category: str = Field(default="", description="column of a vendor's tissue label; empty: none")
    positive: dict[str, str] = Field(
        default_factory=dict,
        description='marker = column of its calls (1/0, true/false, positive/negative), or "column=label"',
    )


class QcKeys(Section):
    """Limits of the quality flags. All project defaults."""

    max_blurred_fraction: Fraction = Field(default=0.1, description="share of tissue out of focus")
    max_saturated_fraction: Fraction = Field(default=0.01, description="share of tissue pixels at the end of scale")
    max_residual_od: Positive = Field(default=0.15, description="OD, 95th percentile left unexplained by the stains")
