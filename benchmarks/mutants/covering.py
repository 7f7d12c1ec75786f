"""Which tests run which line, and how long each takes: one run under coverage, kept as JSON."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import coverage
import pytest

TESTS = (
    "tests/test_geometry_*.py",
    "tests/test_metrics_*.py",
    "tests/test_longitudinal_*.py",
    "tests/test_cohort_*.py",
    "tests/test_review_agreement_kernels.py",
    "tests/test_examples_training.py",
    "tests/test_pipeline_populations.py",
    "tests/test_acceptance_tables.py",
)


class Watch:
    """A pytest plugin: every test is a context of the coverage, and its seconds are kept."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        self.measured.switch_context(item.nodeid)
        yield
        self.measured.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration


def main(root: Path, out: Path) -> int:
    """Run the tests in `root` and write lines and seconds to `out`."""
    measured = coverage.Coverage(
        data_file=None, branch=False, source=[str(root / "spatial_til" / part) for part in ("geometry", "metrics")]
    )
    watch = Watch(measured)
    files = [str(path) for pattern in TESTS for path in sorted(root.glob(pattern))]
    measured.start()
    code = pytest.main(
        ["-q", "-p", "no:cacheprovider", "-p", "no:cov", *files, "spatial_til/geometry", "spatial_til/metrics"], [watch]
    )
    measured.stop()
    data = measured.get_data()
    lines: dict[str, dict[int, list[str]]] = {}
    for name in sorted(data.measured_files()):
        by_line = data.contexts_by_lineno(name)
        lines[Path(name).relative_to(root).as_posix()] = {
            line: sorted(test for test in tests if test) for line, tests in sorted(by_line.items())
        }
    out.write_text(json.dumps({"seconds": watch.seconds, "lines": lines}), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(Path.cwd(), Path(sys.argv[1])))
