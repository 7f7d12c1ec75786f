"""Quality and settings of a slide in words that a pathologist reads: units, limits, and what was taken off a stain."""

import re

from spatial_til.model import Call, SlideMeta, SlideScore
from spatial_til.protocol import parse_protocol
from spatial_til.report.quality import quality_facts

STAINS = {
    "hematoxylin": {"marker": "nuclei", "vector": "hematoxylin"},
    "dab": {"marker": "CD8", "vector": "dab"},
    "red": {"marker": "PD-L1", "vector": [0.21, 0.85, 0.48]},
}
PROTOCOL = parse_protocol({"panel": {"modality": "brightfield", "stains": STAINS}}, "test")
#: As a sample slide has them in `measured/`, but for the second crosstalk.
NUMBERS = {
    "typical_nuclear_contrast": 21.90625,
    "edge_width_um": 0.49641701803675686,
    "blurred_fraction": 0.1042,
    "saturated_fraction": 4.653418624161074e-05,
    "pigment_fraction": None,
    "residual_od_95": 0.013696550621586154,
    "artefact_fraction": 0.0,
    "brown_lent": -0.073,
    "crosstalk": {"CD8 seen as PD-L1": 0.0, "PD-L1 seen as CD8": 0.08848635107278824},
}
SETTINGS = {
    "modality": "brightfield",
    "segmenter": "watershed",
    "holes": "ignore",
    "tissue edge": "not_margin",
    "threshold of CD8": "0.04151",
    "threshold of PD-L1": "none",
}


def facts(protocol=PROTOCOL, settings=SETTINGS, **numbers):
    score = SlideScore(
        meta=SlideMeta("s", "P1", "baseline", "L1"), tiles={}, estimates={}, values={}, phenotype=Call("", "", {}),
        activity={}, gates={}, settings=settings,
    )  # fmt: skip
    return {
        fact.name: fact
        for fact in quality_facts({"artefact_fraction": 0.0}, {"numbers": NUMBERS | numbers}, score, protocol)
    }


def test_what_a_stain_showed_of_another_is_said_where_it_did():
    shown = {name: fact for name, fact in facts().items() if "looks like" in name}
    assert list(shown) == ["PD-L1 stain that looks like CD8"]  # the other share is 0
    (fact,) = shown.values()
    assert fact.value == "9 %"
    assert fact.remark.startswith("as much of each cell's PD-L1 stain was taken off its CD8 stain")
    assert "a cell that has both loses it, too" in fact.remark


def test_a_slide_whose_stains_showed_nothing_of_each_other_says_nothing_of_it():
    for crosstalk in ({}, {"CD8 seen as PD-L1": 0.0}):
        assert not any("looks like" in name for name in facts(crosstalk=crosstalk))
    assert facts(brown_lent=0.12)["brown that looks like the other stain, by pixels"].value == "12 %"


def test_figures_have_units_and_the_limits_of_the_protocol():
    said = facts()
    assert said["sharpness: width of edges, µm (blurred from 1.2)"].value == "0.496"
    blurred = said["out of focus, share of the places judged"]
    assert (blurred.value, blurred.remark) == ("10.4 %", "flagged above 10 %")  # 10 % would not be above 10 %
    saturated = said["saturated, share of tissue"]
    assert (saturated.value, saturated.remark) == ("< 0.1 %", "flagged above 1 %")
    own = parse_protocol({"panel": {"modality": "brightfield", "stains": STAINS}, "qc": {"max_residual_od": 0.2}}, "t")
    (residual,) = (fact for name, fact in facts(own).items() if "do not explain" in name)
    assert (residual.value, residual.remark) == ("0.0137", "flagged above 0.2")
    assert "looks like melanin, share of tissue" not in said  # not known


def test_no_code_and_no_figure_without_a_unit():
    said = facts(autofluorescence_CD8=0.25)
    text = " ".join(part for fact in said.values() for part in fact)
    assert not re.search(r"\w_\w|\bum\b|\bod\b", text)
    assert "contrast" not in text
    assert said["cut-off of CD8"].value == "0.04151 optical density"
    assert said["cut-off of PD-L1"].value == "none"
    assert said["holes in the tumour"].value == "not tumour, and their edge is no border"
    assert said["share of the autofluorescence channel taken off CD8"].value == "0.250"
    assert [name for name in said if "artefact" in name] == ["artefacts, share of tissue"]  # once
