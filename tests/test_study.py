"""A study sheet is validated whole, before any pixel is read."""

import pytest

from spatial_til.errors import StudyError
from spatial_til.repeated import repeated_slides
from spatial_til.study import load_study, single

PROTOCOL = """
[panel]
modality = "brightfield"
[panel.stains]
h = { marker = "nuclei", vector = "hematoxylin" }
dab = { marker = "CD8", vector = "dab" }
"""
HEADER = "slide_id,patient_id,timepoint,image"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "protocol.toml").write_text(PROTOCOL)
    (tmp_path / "a.tif").write_bytes(b"")
    return tmp_path


def sheet(folder, *rows, header=HEADER):
    path = folder / "study.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def problems_of(path, **kwargs):
    with pytest.raises(StudyError) as caught:
        load_study(path, **kwargs)
    return "\n".join(caught.value.problems)


def test_a_good_sheet_becomes_jobs_in_order(folder):
    header = HEADER + ",genotype,response,biopsy_date,treatment_start,pixel_size_um"
    path = sheet(
        folder,
        "s2,P1,baseline,a.tif,BRAF,PR,2025-01-01,2025-01-20,0.5",
        "s1,P1,progression,a.tif,BRAF,PR,2026-01-01,2025-01-20,",
        header=header,
    )
    study = load_study(path)
    assert [job.slide_id for job in study.jobs] == ["s2", "s1"]
    assert study.extra_columns == ("genotype",)
    assert study.jobs[0].meta.extra == {"genotype": "BRAF"}
    assert study.jobs[0].pixel_size_um == 0.5
    assert study.jobs[1].pixel_size_um is None


def test_all_problems_are_told_at_once(folder):
    text = problems_of(
        sheet(
            folder,
            "s1,P1,baseline,a.tif",
            "S1,P1,baseline,a.tif",
            "s3,,baseline,a.tif",
            "s4,P1,later,a.tif",
            "s5,P1,baseline,gone.tif",
            "../s6,P1,baseline,a.tif",
            "s7,P1,baseline,",
        )
    )
    assert text.count("\n") == 5
    for words in (
        "stands in row 2 already",
        "row 4, column patient_id",
        "column timepoint: must be one of baseline, on_treatment, progression, found 'later': write it as there",
        "gone.tif",
        "'../s6'",
        "row 8, column image: may be empty only where `cells`",
    ):
        assert words in text


def test_missing_columns_and_bad_protocol_are_told_together(folder):
    (folder / "protocol.toml").write_text(PROTOCOL + "[gates]\nmin_core = 1\n")
    text = problems_of(sheet(folder, "s1,P1", header="slide_id,patient_id"))
    assert "column timepoint, image missing" in text
    assert "min_core_mm2" in text


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("pixel_size_um", "0", "above 0"),
        ("pixel_size_um", "nan", "above 0"),
        ("pixel_size_um", "0,5 x", "above 0"),
        ("tissue_area_mm2", "-1", "above 0"),
        ("biopsy_date", "01/02/2025", "ISO date"),
        ("control", "maybe", "negative, positive or empty"),
        ("annotation", "a.tif; gone.geojson", "gone.geojson"),
    ],
)
def test_bad_values_name_row_and_column(folder, column, value, words):
    text = problems_of(sheet(folder, f's1,P1,baseline,a.tif,"{value}"', header=f"{HEADER},{column}"))
    assert f"row 2, column {column}" in text
    assert words in text


def test_response_is_constant_per_patient(folder):
    path = sheet(folder, "s1,P1,baseline,a.tif,PR", "s2,P1,progression,a.tif,PD", header=HEADER + ",response")
    assert "must be constant per patient" in problems_of(path)


def test_dates_out_of_order_are_refused(folder):
    path = sheet(
        folder,
        "s1,P1,baseline,a.tif,2025-06-01",
        "s2,P1,progression,a.tif,2025-01-01",
        header=HEADER + ",biopsy_date",
    )
    assert "P1" in problems_of(path)


def test_control_rows_need_no_patient(folder):
    path = sheet(folder, "c1,,,a.tif,negative", header=HEADER + ",control")
    assert load_study(path).jobs[0].control == "negative"


def test_row_protocols_are_read_and_their_faults_told(folder):
    (folder / "other.toml").write_text(PROTOCOL + "[compartments]\ninner_um = 250\n")
    (folder / "bad.toml").write_text(PROTOCOL + "[compartments]\ninner = 250\n")
    good = load_study(sheet(folder, "s1,P1,baseline,a.tif,other.toml", header=HEADER + ",protocol"))
    assert good.jobs[0].protocol.compartments.inner_um == 250
    assert "inner_um" in problems_of(sheet(folder, "s1,P1,baseline,a.tif,bad.toml", header=HEADER + ",protocol"))


def test_without_any_protocol_it_says_where_one_may_stand(folder):
    (folder / "protocol.toml").unlink()
    assert "put protocol.toml beside the sheet" in problems_of(sheet(folder, "s1,P1,baseline,a.tif"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"slide_id,patient_id,timepoint,image\n\xff\xfe,b,c,d\n", "not UTF-8"),
        (b"slide_id,slide_id,timepoint,image\n", "stands twice"),
        (b"", "is empty: give a study sheet"),
        (b"PK\x03\x04abc", "is a spreadsheet (xlsx)"),
        (b"slide_id,patient_id\n", "column timepoint, image missing in the header"),
        (
            b"\xef\xbb\xbfslide_id;patient_id;timepoint;image;pixel_size_um\r\ns1;P1;baseline;a.tif;0,5\r\n",
            "semicolons between",
        ),
        (b"slide_id\tpatient_id\ttimepoint\timage\ns1\tP1\tbaseline\ta.tif\n", "tabs between"),
        (b"slide_id,patient_id,timepoint,image\ns1,P1,baseline,b\\a.tif\n", "write / between folders"),
        (b"slide_id,patient_id,timepoint,image\ns1,P1,baseline,a.tif,more\n", "more cells than the header"),
        (b"slide_id,patient_id,timepoint,image\n", "no rows"),
    ],
)
def test_files_that_are_no_sheet(folder, content, words):
    path = folder / "study.csv"
    path.write_bytes(content)
    assert words in problems_of(path)


def test_windows_line_ends_and_a_byte_order_mark_are_fine(folder):
    path = folder / "study.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEADER.encode() + b"\r\ns1,P1,baseline,a.tif\r\n")
    assert load_study(path).jobs[0].slide_id == "s1"


def test_one_image_makes_a_study_of_its_own(folder):
    study = load_study(sheet(folder, "s1,P1,baseline,a.tif"))
    alone = single(folder / "ä b.ome.tif", study.protocol, pixel_size_um=0.5)
    assert alone.jobs[0].slide_id == "__b"
    assert alone.jobs[0].meta.timepoint == "baseline"


def test_rows_of_commas_alone_are_no_slides(folder):
    study = load_study(sheet(folder, "s1,P1,baseline,a.tif", ",,,", "s2,P2,baseline,a.tif", " , ,,", ",,,,,,"))
    assert [job.slide_id for job in study.jobs] == ["s1", "s2"]
    assert "row 4, column image" in problems_of(sheet(folder, "s1,P1,baseline,a.tif", ",,,", "s2,P2,baseline,"))


@pytest.mark.parametrize("spelled", ["Batch", "BATCH", " batch_"])
def test_a_known_column_in_other_letters_is_not_carried_through_as_another(folder, spelled):
    text = problems_of(sheet(folder, "s1,P1,baseline,a.tif,run1", header=f"{HEADER},{spelled}"))
    assert f"column {spelled.strip()!r} is spelled 'batch' here: rename it" in text


def test_a_required_column_in_other_letters_is_named(folder):
    text = problems_of(sheet(folder, "s1,P1,baseline,a.tif", header="Slide ID,patient_id,timepoint,image"))
    assert "column slide_id missing" in text
    assert "column 'Slide ID' is spelled 'slide_id' here" in text


@pytest.mark.parametrize(
    ("column", "rows"),
    [
        ("patient_id", ("s1,P1,baseline,a.tif,L1", "s2,p1,progression,a.tif,L1")),
        ("lesion", ("s1,P1,baseline,a.tif,L1", "s2,P1,progression,a.tif,l1")),
    ],
)
def test_labels_that_differ_by_case_alone_are_one_label_mistyped(folder, column, rows):
    text = problems_of(sheet(folder, *rows, header=f"{HEADER},lesion"))
    assert f"column {column}: labels must not differ by case alone" in text
    assert "in row 2" in text
    assert "in row 3" in text


def test_one_slide_named_twice_is_told(folder):
    (folder / "b.tif").write_bytes(b"")
    (folder / "one.geojson").write_text("{}")
    study = load_study(
        sheet(
            folder,
            "s1,P1,baseline,a.tif,",
            "s2,P1,on_treatment,./a.tif,",
            "s3,P1,progression,a.tif,one.geojson",
            "s4,P2,baseline,b.tif,",
            header=f"{HEADER},annotation",
        )
    )
    (told,) = repeated_slides(study.jobs)
    assert told.startswith("a.tif in the same regions is scored as s1, s2: ")


def test_one_slide_in_two_patients_is_told_with_both(folder):
    rows = "s1,P1,baseline,a.tif,", "s2,P2,baseline,./a.tif,"
    (told,) = repeated_slides(load_study(sheet(folder, *rows, header=f"{HEADER},annotation")).jobs)
    assert told.startswith("a.tif in the same regions is scored as s1 of patient P1 and s2 of patient P2: correct ")
