"""A protocol is validated whole: every fault at once, each with the nearest known key."""

import tomllib

import pytest

from spatial_til.errors import ProtocolError, SpatialTilError
from spatial_til.model import SlideMeta
from spatial_til.pipeline.measure import measure_parts
from spatial_til.protocol import Protocol, load_protocol, parse_protocol
from spatial_til.protocol_template import template, write_example
from spatial_til.study import Job

PANEL = {
    "modality": "brightfield",
    "stains": {
        "h": {"marker": "nuclei", "vector": "hematoxylin"},
        "dab": {"marker": "CD8", "vector": "dab"},
    },
}


def problems_of(values: dict) -> list[str]:
    with pytest.raises(ProtocolError) as caught:
        parse_protocol(values, "p.toml")
    return list(caught.value.problems)


def test_the_template_gives_exactly_the_defaults():
    written = parse_protocol(tomllib.loads(template()))
    panel = tomllib.loads(template())["panel"]
    assert written.resolved() == parse_protocol({"panel": panel}).resolved()


def test_the_template_names_every_key():
    text = template()
    for name, field in Protocol.model_fields.items():
        for key in getattr(field.annotation, "model_fields", {}):
            assert key in text, f"{name}.{key}"


def test_all_problems_are_told_at_once():
    found = problems_of(
        {
            "panel": PANEL,
            "gates": {"min_core": 1, "min_tiles": "8"},
            "compartmints": {"inner_um": 3},
            "compartments": {"inner_um": -3, "holes": "maybe"},
        }
    )
    assert len(found) == 5
    text = "\n".join(found)
    assert "unknown key 'gates.min_core'; the nearest known key is 'min_core_mm2'" in text
    assert "unknown key 'compartmints'; the nearest known key is 'compartments'" in text
    assert "'gates.min_tiles'" in text
    assert "'compartments.inner_um'" in text
    assert "'compartments.holes'" in text


@pytest.mark.parametrize(("alias", "name"), [("PDL1", "PD-L1"), ("CD274", "PD-L1"), ("CD8A", "CD8"), ("cd8", "CD8")])
def test_aliases_are_refused_with_the_right_name(alias, name):
    panel = {"modality": "fluorescence", "channels": {"0": {"marker": "nuclei"}, "1": {"marker": alias}}}
    (problem,) = problems_of({"panel": panel})
    assert repr(name) in problem
    assert "panel.channels.1.marker" in problem


@pytest.mark.parametrize(
    ("panel", "words"),
    [
        ({"modality": "brightfield"}, "needs [panel.stains]"),
        ({"modality": "fluorescence", "channels": {"a": {"marker": "CD8"}}}, 'marker = "nuclei"'),
        (
            {
                "modality": "brightfield",
                "stains": PANEL["stains"] | {f"s{i}": {"marker": f"M{i}", "vector": "dab"} for i in (1, 2)},
            },
            "at most three stains",
        ),
        (
            {"modality": "brightfield", "stains": PANEL["stains"] | {"red": {"marker": "CD8", "vector": "aec"}}},
            "may stand once",
        ),
        (
            {"modality": "fluorescence", "channels": {"DAPI": {"marker": "CD8"}, "CD8": {"marker": "nuclei"}}},
            "DAPI (nuclei by name or vector) given to CD8; CD8 (CD8 by name or vector) given to nuclei: exchange",
        ),
        (
            {
                "modality": "brightfield",
                "stains": {
                    "a": {"marker": "CD8", "vector": "hematoxylin"},
                    "b": {"marker": "nuclei", "vector": "dab"},
                },
            },
            "a (nuclei by name or vector) given to CD8: exchange them",
        ),
    ],
)
def test_impossible_panels_are_refused(panel, words):
    assert words in "\n".join(problems_of({"panel": panel}))


def test_a_channel_whose_name_is_wrong_in_the_file_is_given_by_its_index():
    channels = {"0": {"marker": "CD8"}, "Hoechst": {"marker": "nuclei"}, "PDL1": {"marker": "none"}}
    assert parse_protocol({"panel": {"modality": "fluorescence", "channels": channels}}).panel.markers == ("CD8",)


def stained(*markers):
    return {**PANEL, "stains": PANEL["stains"] | {m: {"marker": m, "vector": "aec"} for m in markers}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"segmentation": {"min_nucleus_area_um2": 50, "max_nucleus_area_um2": 50}}, "must be below max_nucleus_area"),
        ({"tumor": {"method": "marker"}}, 'needs a panel entry with marker = "tumor"'),
        ({"tumor": {"method": "classifier"}}, "needs tumor.model"),
        ({"populations": {"CD8+": "CD8-"}}, "CD8+ is always reported and may not mean anything else"),
        ({"populations": {"odd": "CD8+ & TIM3+"}}, "TIM3+ is no term of this panel: use CD8+, CD8- with"),
        ({"populations": {"odd": " "}}, "nothing is no term of this panel"),
        ({"fluorescence": {"autofluorescence": "AF"}}, "does nothing for a brightfield panel"),
        ({"segmentation": {"cytoplasm_markers": ["CD9"]}}, "'CD9' is no marker of the panel; the nearest"),
        ({"longitudinal": {"timepoints": ["a", "a"]}}, "time points must be named and distinct, found ['a', 'a']"),
        ({"longitudinal": {"timepoints": ["a", " "]}}, "time points must be named and distinct"),
        ({"longitudinal": {"timepoints": []}}, "time points must be named and distinct"),
        ({"panel": stained("LAG3+")}, "marker 'LAG3+' may not be empty nor contain"),
        ({"panel": stained(" LAG3")}, "marker ' LAG3' may not be empty nor contain"),
        ({"panel": {}}, "key 'panel.modality' is missing: every protocol must give it"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(values, words):
    """Each would score something else than what it says."""
    assert words in "\n".join(problems_of({"panel": PANEL} | values))


def test_fingerprint_follows_values_not_spelling():
    bare = parse_protocol({"panel": PANEL})
    spelt = parse_protocol({"panel": PANEL, "compartments": {"inner_um": 500}})
    other = parse_protocol({"panel": PANEL, "compartments": {"inner_um": 250}})
    assert bare.fingerprint() == spelt.fingerprint() != other.fingerprint()


def test_broken_toml_says_where(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text("[panel\n")
    with pytest.raises(ProtocolError, match="not valid TOML"):
        load_protocol(path)
    with pytest.raises(ProtocolError, match="cannot be read"):
        load_protocol(tmp_path / "none.toml")


def test_init_never_overwrites(tmp_path):
    protocol, study = write_example(tmp_path / "new")
    assert load_protocol(protocol).panel.markers == ("CD8", "PD-L1")
    assert study.read_text().startswith("slide_id,")
    with pytest.raises(SpatialTilError, match="exists already"):
        write_example(tmp_path / "new")


@pytest.mark.parametrize("name", ["LAG3", "LAG3+CD8+", "exhaustd", "TIM3+"])
def test_changes_of_a_population_that_no_slide_reports_are_refused(name):
    """It would give columns that are empty for every patient."""
    channels = {"0": {"marker": "nuclei"}, "1": {"marker": "LAG3"}, "2": {"marker": "CD8"}}
    values = {
        "panel": {"modality": "fluorescence", "channels": channels},
        "populations": {"exhausted": "CD8+ & LAG3+"},
        "longitudinal": {"changes_of": ["LAG3+", "CD8+LAG3+", "LAG3+tumor", "exhausted", name]},
    }
    (problem,) = problems_of(values)
    assert f"longitudinal.changes_of: {name} is no population that slides report: use CD8+, CD8+LAG3+," in problem
    values["longitudinal"]["changes_of"].pop()
    assert parse_protocol(values).longitudinal.changes_of[-1] == "exhausted"


def test_the_path_of_a_classifier_is_relative_to_the_protocol(tmp_path):
    text = (
        template().replace('method = "annotation"', 'method = "classifier"').replace('model = ""', 'model = "m/t.json"')
    )
    prints = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "protocol.toml").write_text(text, encoding="utf-8")
        protocol = load_protocol(tmp_path / name / "protocol.toml")
        assert protocol.tumor.model == str(tmp_path / name / "m" / "t.json")
        prints.add(protocol.fingerprint())
    assert len(prints) == 1


def test_weights_of_a_network_are_relative_to_the_protocol_and_known_by_their_content(tmp_path):
    text = (
        template().replace('method = "watershed"', 'method = "instanseg"').replace('weights = ""', 'weights = "net.pt"')
    )
    prints, hashes = set(), []
    for name, content in (("here", b"1"), ("there", b"1"), ("other", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "protocol.toml").write_text(text, encoding="utf-8")
        (tmp_path / name / "net.pt").write_bytes(content)
        protocol = load_protocol(tmp_path / name / "protocol.toml")
        assert protocol.segmentation.weights == str(tmp_path / name / "net.pt")
        prints.add(protocol.fingerprint())
        job = Job(SlideMeta("S", "P", "baseline"), tmp_path / "S.tif", protocol)
        hashes.append(measure_parts(job, "", None, None)["method"])
    assert len(prints) == 1
    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes[0][0] == "instanseg"


def test_cytoplasm_markers_are_markers_of_the_panel():
    (found,) = problems_of({"panel": PANEL, "segmentation": {"cytoplasm_markers": ["CD9"]}})
    assert "cytoplasm_markers: 'CD9' is no marker of the panel; the nearest known marker is 'CD8'" in found
    (found,) = problems_of({"panel": PANEL, "segmentation": {"cytoplasm_markers": ["nuclei"]}})
    assert "'nuclei' is no marker of the panel" in found
    roles = PANEL | {"stains": PANEL["stains"] | {"red": {"marker": "cytoplasm", "vector": "fast_red"}}}
    given = parse_protocol({"panel": roles, "segmentation": {"cytoplasm_markers": ["cytoplasm", "CD8"]}})
    assert given.segmentation.cytoplasm_markers == ("cytoplasm", "CD8")


def test_cells_are_measured_again_where_the_guide_changes():
    def parts(**segmentation):
        protocol = parse_protocol({"panel": PANEL, "segmentation": segmentation})
        return measure_parts(Job(SlideMeta("S", "P", "baseline"), None, protocol), "image", None, None)

    assert parts() == parts(cytoplasm_markers=[])
    assert parts() != parts(cytoplasm_markers=["CD8"])
    assert parts(cytoplasm_markers=["CD8"]) != parts(cytoplasm_markers=["CD8"], guided_expansion_um=9.0)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_no_key_takes_what_is_not_finite(value):
    (found,) = problems_of({"panel": PANEL, "compartments": {"inner_um": value}})
    assert "key 'compartments.inner_um': must be" in found


@pytest.mark.parametrize("vector", [[200, 50, 120], [0.2, 0.8], [0.2, "0.8", 0.1], [-0.1, 0.5, 0.5], 3])
def test_a_stain_vector_is_told_in_one_sentence_what_it_must_be(vector):
    stains = PANEL["stains"] | {"red": {"marker": "PD-L1", "vector": vector}}
    (found,) = problems_of({"panel": PANEL | {"stains": stains}})
    assert "key 'panel.stains.red.vector': must be" in found
    assert "optical densities" in found


@pytest.mark.parametrize("white", [[300, 255, 255], [0, 255, 255], "white", [255, 255], [-1, 255, 255]])
def test_white_is_a_color_of_eight_bits(white):
    (found,) = problems_of({"panel": PANEL | {"white": white}})
    assert "key 'panel.white': must be \"auto\", or [r, g, b], each above 0 and at most 255" in found


def test_contradictions_are_told_all_at_once():
    values = {
        "panel": PANEL,
        "populations": {"a": "CD8+ & LAG3+", "b": " ", "CD8+": "CD8-"},
        "segmentation": {"min_nucleus_area_um2": 400.0, "max_nucleus_area_um2": 10.0},
        "tumor": {"method": "classifier"},
    }
    told = problems_of(values)
    for words in ("populations.a", "populations.b", "populations.CD8+", "min_nucleus_area_um2", "tumor.model"):
        assert len([problem for problem in told if words in problem]) == 1, words


def test_a_protocol_in_another_encoding_says_so(tmp_path):
    path = tmp_path / "protocol.toml"
    path.write_bytes("# Färbung\n".encode("latin-1"))
    with pytest.raises(ProtocolError, match=r"not valid TOML: not UTF-8 \(byte 3\): save it as UTF-8"):
        load_protocol(path)


def test_what_is_no_list_is_told_in_words_of_toml():
    (found,) = problems_of({"panel": PANEL, "longitudinal": {"timepoints": "baseline"}})
    assert "must be a list in [ ], found 'baseline'" in found
