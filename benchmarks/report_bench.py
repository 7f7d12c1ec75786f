"""The report of 200 slides: how long it takes to write, how large it is, how fast a browser opens it.

    python -m benchmarks.report_bench [--copies 40]

Budget: open within 3 s, as all rows of the slide table are there.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from spatial_til.report.html import write_report
from tests.scored_folder import PLANS, make_folder, many_times

BUDGET_S = 3.0


def run(copies: int = 40) -> list[tuple[str, float]]:
    """Return what writing and opening the report took, and its size."""
    with tempfile.TemporaryDirectory() as name:
        folder = many_times(make_folder(Path(name) / "one"), Path(name) / "many", copies)
        start = time.perf_counter()
        report = write_report(folder)
        found = [
            (f"report of {copies * len(PLANS)} slides written, s", time.perf_counter() - start),
            ("report, MB", report.stat().st_size / 1e6),
        ]
        opened = _seconds_to_open(report)
    return found if opened is None else [*found, (f"report opened in Chromium, s (budget {BUDGET_S:.0f})", opened)]


def _seconds_to_open(report: Path) -> float | None:
    """Return the seconds until a browser has loaded the page; None where there is no browser."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if program is None:
        return None
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--disable-gpu", "--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        start = time.perf_counter()
        page.goto(report.as_uri(), wait_until="load")
        page.locator("#slide-table tbody tr").count()
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--copies", type=int, default=40)
    for label, value in run(parser.parse_args().copies):
        print(f"{label:60} {value:10.3f}")
