"""The report in a browser: it opens clean, sorts, filters, prints, and hostile names stay text."""

import json
import re
import shutil

import pytest

from spatial_til.caveats import CAVEATS
from spatial_til.cli import main
from spatial_til.io.folder import ScoredFolder
from spatial_til.report.html import write_report
from tests.scored_folder import HOSTILE, PLANS, make_folder, many_times

QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
QUIET += ("--disable-component-update", "--disable-sync", "--no-sandbox")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("report") / "scored")


@pytest.fixture(scope="module")
def page_text(folder):
    return write_report(folder).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=program, args=list(QUIET))
        yield chromium
        chromium.close()


def test_code_and_markers_are_written_as_they_are(page_text):
    """Seen on a page: backticks in flags, `cd8` in the cohort, a ratio of at most 2 to the −1."""
    text = re.sub(r"<(script|style).*?</\1>", "", page_text, flags=re.DOTALL)
    assert "`" not in text
    assert "a core:margin ratio of at most 0.5." in text
    assert "not for cd8" not in text


@pytest.fixture
def page(browser, folder, page_text):
    """The report, open; anything that the browser complains of fails the test."""
    complaints = []
    tab = browser.new_page(viewport={"width": 1300, "height": 900})
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("requestfailed", lambda request: complaints.append(request.url[:80]))
    tab.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    tab.goto(ScoredFolder(folder).report.as_uri())
    yield tab
    tab.close()
    assert complaints == []


def column(page, name):
    """What the slide table shows under a header, top to bottom."""
    return page.evaluate(
        """name => { const t = document.getElementById('slide-table');
        const i = Array.from(t.tHead.rows[0].cells).findIndex(c => c.textContent.trim() === name);
        return Array.from(t.tBodies[0].rows).filter(r => !r.hidden).map(r => r.cells[i].textContent.trim()); }""",
        name,
    )


def test_every_picture_is_inside_and_decodes(page):
    broken = page.evaluate(
        """async () => { const sources = [...Array.from(document.images, i => i.src),
          ...Array.from(document.querySelectorAll('svg image'), i => i.href.baseVal)];
        const bad = [];
        for (const source of sources) { const i = new Image(); i.src = source;
          try { await i.decode(); } catch { bad.push(source.slice(0, 60)); }
          if (!source.startsWith('data:image/')) bad.push(source); }
        return [sources.length, bad]; }"""
    )
    assert broken[1] == []
    assert broken[0] >= len(PLANS) + 1  # overviews, cohort
    assert page.locator(".patient svg.course").count() >= len({plan.patient_id for plan in PLANS})


def test_headers_sort_up_and_down_and_unknown_stays_last(page):
    header = page.locator("#slide-table th", has_text=re.compile(r"^core$"))
    header.locator("button").click()
    up = [float(text.replace(",", "")) for text in column(page, "core")]
    assert up == sorted(up)
    assert header.get_attribute("aria-sort") == "ascending"
    header.locator("button").press("Enter")  # as a keyboard does
    down = [float(text.replace(",", "")) for text in column(page, "core")]
    assert down == sorted(up, reverse=True)
    assert header.get_attribute("aria-sort") == "descending"
    page.locator("#slide-table th", has_text="time point").locator("button").click()
    assert column(page, "time point") == ["baseline", "baseline", "on treatment", "progression", "progression"]


def test_filters_by_text_and_class(page):
    page.fill("#filter-text", "A_")
    assert sorted(column(page, "slide")) == ["A_base", "A_on", "A_prog"]
    assert page.inner_text("#filter-count") == "3 of 5 slides"
    page.select_option("#filter-class", "excluded")
    assert sorted(column(page, "slide")) == ["A_base", "A_prog"]


def test_hostile_names_are_text(page):
    assert page.title() == "scored – spatial_til report"
    assert page.evaluate("document.scripts.length") == 1
    assert HOSTILE in page.inner_text("#patients")
    assert HOSTILE in page.text_content("#slides")


def test_regions_can_be_hidden(page):
    picture = page.locator("#slide-1 .overview")
    assert picture.locator("svg[role=img] .b-stroma").is_visible()
    picture.locator(".t-regions").uncheck()
    assert not picture.locator("svg[role=img] .b-stroma").is_visible()


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_no_window_scrolls_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_is_navigable_without_sight_or_mouse(page):
    problems = page.evaluate(
        """() => { const bad = [];
        const levels = Array.from(document.querySelectorAll('h1,h2,h3,h4'), h => +h.tagName[1]);
        levels.forEach((l, i) => { if (i && l > levels[i - 1] + 1) bad.push('heading ' + i + ' jumps to ' + l); });
        const pictures = 'img:not([alt]), svg:not([aria-label]):not([aria-hidden])';
        for (const e of document.querySelectorAll(pictures)) bad.push(e.outerHTML.slice(0, 80));
        for (const e of document.querySelectorAll('input, select')) if (!e.labels.length) bad.push(e.outerHTML);
        const ids = Array.from(document.querySelectorAll('[id]'), e => e.id);
        if (new Set(ids).size !== ids.length) bad.push('an id stands twice');
        for (const a of document.querySelectorAll('a[href^="#"]'))
          if (!document.getElementById(decodeURIComponent(a.hash.slice(1)))) bad.push(a.outerHTML);
        return bad; }"""
    )
    assert problems == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the summary"


def test_prints(page, tmp_path):
    data = page.pdf(format="A4", print_background=True)
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page[^s]", data)) >= len(PLANS)  # a slide begins on its own page


def test_says_what_a_reader_must_know(page_text):
    for text in CAVEATS:
        assert text in page_text
    assert "never_measured" in page_text
    assert "not scored in this folder" in page_text
    assert "reversion to excluded" in page_text
    assert "Core</strong> is tumour more than 100 µm" in page_text


def test_titles_of_panels_stand_above_their_curves(page_text):
    """Seen on a page: "CD8+ per mm²" with the baseline's marker upon it."""
    panels = re.findall(r'd="M[\d.]+,([\d.]+)V[\d.]+H[\d.]+"/><text class="panel" x="[\d.]+" y="([\d.]+)">', page_text)
    assert panels
    assert all(9 < float(title) < float(top) for top, title in panels)


def test_time_points_and_units_are_in_words(page_text):
    """Seen on a page: "no scored slide at on_treatment", and cut-offs of no unit."""
    text = re.sub(r"<(script|style|pre).*?</\1>", "", page_text, flags=re.DOTALL)
    assert "no scored slide at on treatment" in text
    assert "on_treatment<" not in text
    assert re.search(r'<td class="n">0.500 <small>intensity</small></td><td>fixed</td>', text)
    assert "Fixed: given in the protocol." in text


def test_says_what_was_not_looked_for_in_fluorescence(tmp_path):
    root = make_folder(tmp_path / "scored", PLANS[:1])
    gate = "<td>at most 30 %</td><td>{}</td>"
    looked_for = write_report(root).read_text(encoding="utf-8")
    assert gate.format("passed") in looked_for
    score = ScoredFolder(root).score("A_base")
    values = json.loads(score.read_text())
    values["gates"]["artefact_fraction"] = values["rows"]["slide_scores"][0]["artefact_fraction"] = None
    for modality, found in (("fluorescence", 2), ("brightfield", 0)):
        values["settings"]["modality"] = modality
        score.write_text(json.dumps(values))
        page = write_report(root).read_text(encoding="utf-8")
        assert gate.format("passed") not in page
        assert gate.format("not applied") in page
        assert page.count("not looked for in fluorescence: draw Exclude") == found  # gates, quality


@pytest.mark.parametrize("width", [1400, 420])
def test_nothing_runs_out_of_its_column(browser, tmp_path, width):
    """Seen on a fluorescence slide: the sentence in the gates was one line, and pushed its verdict off the page."""
    root = make_folder(tmp_path / "scored", PLANS[:1])
    score = ScoredFolder(root).score("A_base")
    values = json.loads(score.read_text())
    values["gates"]["artefact_fraction"] = None
    score.write_text(json.dumps(values))
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.goto(write_report(root).as_uri())
    wide = tab.evaluate(
        """() => { document.querySelectorAll('details').forEach(d => d.open = true);
        const right = e => e.getBoundingClientRect().right;
        return Array.from(document.querySelectorAll('.two > div *:not(svg *):not(.scroll *)'))
          .filter(e => right(e) > right(e.closest('.two > div')) + 1).map(e => e.textContent.slice(0, 60)); }"""
    )
    tab.close()
    assert wide == []


def test_needs_nothing_from_outside(page_text):
    links = re.findall(r'(?:src|href)="([^"]*)"', page_text)
    assert links
    assert not [link for link in links if re.match(r"(https?:)?//", link)]
    assert "default-src 'none'" in page_text


def test_links_lead_to_files(folder, page_text):
    links = set(re.findall(r'<a href="([^"#:]+)"', page_text))
    assert {"tables/slide_scores.csv", "tables/README.md", "run.json", "cells/A_base.parquet"} <= links
    assert [link for link in links if not (folder / link).exists()] == []


def test_same_folder_gives_the_same_page(folder, page_text):
    assert write_report(folder).read_text(encoding="utf-8") == page_text


def test_numbers_are_those_of_the_tables(folder, page_text):
    scores = json.loads(ScoredFolder(folder).score("A_base").read_text())["rows"]["slide_scores"][0]
    row = re.search(
        r'<tr data-class="excluded"><th scope="row"><a href="#slide-1">A_base.*?</tr>', page_text, re.DOTALL
    )
    assert f'data-sort="{scores["cd8_core_per_mm2"]}"' in row.group()
    assert f'data-sort="{scores["log2_core_margin_cd8"]}"' in row.group()


def test_command_reports_and_refuses_other_folders(folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as status:
        main(["report", str(folder)])
    assert status.value.code == 0
    with pytest.raises(SystemExit) as status:
        main(["report", str(tmp_path)])
    assert status.value.code == 2
    assert "run.json" in capsys.readouterr().err


def test_report_survives_missing_pictures_and_cells(folder, tmp_path):
    root = tmp_path / "bare"
    shutil.copytree(folder, root)
    for name in ("cells", "measured", "thumbnails", "regions"):
        shutil.rmtree(root / name)
    text = write_report(root).read_text(encoding="utf-8")
    assert "No picture" in text
    assert "A_base" in text


@pytest.mark.slow
def test_two_hundred_slides_stay_small_and_are_all_listed(browser, tmp_path, folder):
    report = write_report(many_times(folder, tmp_path / "large", 40))
    assert report.stat().st_size < 30e6
    tab = browser.new_page(viewport={"width": 1300, "height": 900})
    tab.goto(report.as_uri(), wait_until="load")
    assert tab.locator("#slide-table tbody tr").count() == 200
    tab.close()
