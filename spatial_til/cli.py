"""The command line: parse, call, print, exit. Results go to files, progress and errors to standard error."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from spatial_til.arguments import count, folder, positive
from spatial_til.errors import ProblemsError, SpatialTilError

if TYPE_CHECKING:
    from spatial_til.batch import Summary

OK, SOME_FAILED, UNUSABLE = 0, 1, 2


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(UNUSABLE)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its status: 0 all scored, 1 some slides failed, 2 unusable input."""
    _show_everything()
    options = _parser().parse_args(arguments)
    for given in vars(options).values():
        _require_unicode(given)
    try:
        status = options.run(options)
    except ProblemsError as error:
        for problem in error.problems:
            _tell(problem)
        status = UNUSABLE
    except SpatialTilError as error:
        if options.debug:
            raise
        _tell(str(error))
        status = UNUSABLE
    except KeyboardInterrupt:
        print("interrupted: finished slides are kept; run the same command to go on", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = OK
    except Exception as error:
        if options.debug:
            raise
        from spatial_til.workers import describe  # slow to import, and hardly ever needed

        told = describe(error)
        _tell(f"{told}; run again with --debug for details" if told.startswith("internal") else told)
        status = UNUSABLE
    raise SystemExit(status)


def _tell(problem: str) -> None:
    """Print a problem as one line: what a file brought along cannot break it or steer a terminal."""
    print("".join(c if c.isprintable() else repr(c)[1:-1] for c in problem), file=sys.stderr)


def _require_unicode(given: object) -> None:
    """End where a path has bytes that are no text: tables and records, in UTF-8, could not name it after hours."""
    for path in given if isinstance(given, list) else [given]:
        try:
            if isinstance(path, Path):
                str(path.absolute()).encode()
        except UnicodeEncodeError:
            _tell(
                f"{path}: names of files and folders must be UTF-8: rename it, or set a UTF-8 locale (LC_ALL=C.UTF-8)"
            )
            raise SystemExit(UNUSABLE) from None


def _show_everything() -> None:
    """Let no locale stop a line: what it has no sign for is shown by its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    common.add_argument("--quiet", action="store_true", help="no progress")
    parser = _Parser(prog="spatial-til", description="Are the T cells in the tumour, or held at its edge?")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    init = commands.add_parser("init", parents=[common], help="write a commented protocol and an example study sheet")
    init.add_argument("dir", type=Path, metavar="DIR")
    init.set_defaults(run=_init)

    check = commands.add_parser("check", parents=[common], help="validate a study without reading pixels")
    check.add_argument("study", type=Path, metavar="STUDY")
    check.add_argument("--protocol", type=Path, metavar="P")
    check.add_argument("--locked", metavar="HASH", help="refuse a protocol whose fingerprint is another")
    check.add_argument("--estimate", action="store_true", help="time and memory, from a trial on small windows")
    _add_workers(check)
    check.set_defaults(run=_check)

    _add_scoring(commands, common)

    status = commands.add_parser("status", parents=[common], help="what is done, running, failed")
    status.add_argument("dir", type=Path, metavar="DIR")
    status.set_defaults(run=_status)

    _add_outputs(commands, common)

    _add_train(commands, common)

    demo = commands.add_parser("demo", parents=[common], help="score sample_slides/ end to end")
    demo.add_argument("--out", type=folder, default=Path("demo_results"), metavar="DIR")
    _add_workers(demo)
    demo.set_defaults(run=_demo)
    return parser


def _add_scoring(commands: argparse._SubParsersAction[_Parser], common: _Parser) -> None:
    score = commands.add_parser("score", parents=[common], help="score a study")
    score.add_argument("study", type=Path, metavar="STUDY")
    score.add_argument("--out", type=folder, required=True, metavar="DIR")
    score.add_argument("--protocol", type=Path, metavar="P")
    score.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster that does the work (shared paths)")
    score.add_argument("--rerun", choices=("all", "failed"), help="measure all again, or only what failed")
    score.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="SLIDE_ID", help="score these slides only"
    )
    _add_workers(score)
    score.set_defaults(run=_score)

    slide = commands.add_parser("slide", parents=[common], help="score one image, no sheet")
    slide.add_argument("image", type=Path, metavar="IMAGE")
    slide.add_argument("--out", type=folder, required=True, metavar="DIR")
    slide.add_argument("--protocol", type=Path, metavar="P")
    slide.add_argument("--annotation", type=Path, action="append", default=[], metavar="A")
    slide.add_argument("--pixel-size", type=positive, metavar="UM", help="µm per pixel, where the file has none")
    _add_workers(slide)
    slide.set_defaults(run=_slide)

    rescore = commands.add_parser("rescore", parents=[common], help="every table again from the stored cells")
    rescore.add_argument("dir", type=Path, metavar="DIR")
    rescore.add_argument("--protocol", type=Path, metavar="P")
    rescore.add_argument("--out", type=folder, metavar="DIR2")
    applied = rescore.add_mutually_exclusive_group()
    applied.add_argument("--reader", metavar="R", help="whose corrections go to reviewed/R/ (default: the only reader)")
    applied.add_argument("--no-review", action="store_true", help="nobody's corrections")
    _add_workers(rescore)
    rescore.set_defaults(run=_rescore)


def _add_outputs(commands: argparse._SubParsersAction[_Parser], common: _Parser) -> None:
    report = commands.add_parser("report", parents=[common], help="write report.html of a scored folder again")
    report.add_argument("dir", type=Path, metavar="DIR")
    report.set_defaults(run=_report)

    review = commands.add_parser("review", parents=[common], help="look at a scored folder and correct it, in napari")
    review.add_argument("dir", type=Path, metavar="DIR")
    review.add_argument("--slide", metavar="SLIDE_ID", help="the slide to open first")
    review.add_argument("--reader", metavar="R", help="your name in the journal: letters, digits, `_`, `-`")
    review.add_argument("--blinded", action="store_true", help="case numbers, shuffled; no patient, time or file name")
    review.set_defaults(run=_review)

    export = commands.add_parser("export", parents=[common], help="write a scored folder for another tool")
    export.add_argument("dir", type=Path, metavar="DIR")
    formats = ("anndata", "spatialdata", "qupath", "ome-tiff")
    export.add_argument("--format", required=True, choices=formats, help="cells, cells with image, or label image")
    export.add_argument("--out", type=folder, metavar="PATH", help="folder; default: DIR/export/FORMAT")
    export.set_defaults(run=_export)


def _add_train(commands: argparse._SubParsersAction[_Parser], common: _Parser) -> None:
    train = commands.add_parser("train", parents=[common], help="learn tissue from strokes on measured slides")
    train.add_argument("dir", type=Path, metavar="DIR", help="a folder that score has written")
    help_ = "folder of QuPath lines or areas with classes, a file <slide_id>.geojson a slide"
    train.add_argument("--strokes", type=Path, required=True, metavar="FOLDER", help=help_)
    train.add_argument("--out", type=folder, required=True, metavar="MODEL", help="for tumor.model of a protocol")
    train.add_argument(
        "--channels", nargs="+", action="extend", metavar="NAME", help="stains to look at; default: nuclei, tumor"
    )
    train.add_argument("--width-um", type=positive, default=20.0, metavar="UM", help="of a stroke drawn as a line")
    train.set_defaults(run=_train)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=count, metavar="N", help="processes; default: as cores and memory allow")


def _version() -> str:
    from importlib.metadata import version

    return version("spatial-til")


def _init(options: argparse.Namespace) -> int:
    from spatial_til.protocol_template import write_example

    for path in write_example(options.dir):
        print(f"wrote {path}")
    return OK


def _check(options: argparse.Namespace) -> int:
    from spatial_til.batch import check_study

    report = check_study(
        options.study,
        options.protocol,
        locked=options.locked,
        with_estimate=options.estimate,
        workers=options.workers,
    )
    for line in report.lines:
        print(line)
    for problem in report.problems:
        _tell(problem)
    return UNUSABLE if report.problems else OK


def _score(options: argparse.Namespace) -> int:
    from spatial_til.batch import score_study
    from spatial_til.study import load_study

    study = load_study(options.study, options.protocol)
    summary = score_study(
        study,
        options.out,
        workers=options.workers,
        scheduler=options.scheduler,
        rerun=options.rerun,
        only=tuple(options.only),
        quiet=options.quiet,
    )
    return _close(summary, options.out)


def _slide(options: argparse.Namespace) -> int:
    from spatial_til.batch import score_study, single_study

    study = single_study(options.image, options.protocol, options.annotation, options.pixel_size)
    summary = score_study(study, options.out, workers=options.workers, quiet=options.quiet)
    return _close(summary, options.out)


def _rescore(options: argparse.Namespace) -> int:
    from spatial_til.batch import rescore

    summary = rescore(
        options.dir,
        options.protocol,
        out=options.out,
        reader=options.reader,
        review=not options.no_review,
        workers=options.workers,
        quiet=options.quiet,
    )
    return _close(summary, options.out or options.dir)


def _status(options: argparse.Namespace) -> int:
    from spatial_til.batch import status_lines

    for line in status_lines(options.dir):
        print(line)
    return OK


def _train(options: argparse.Namespace) -> int:
    from spatial_til.io.folder import ScoredFolder
    from spatial_til.io.tissue_model import write_tissue_model
    from spatial_til.pipeline.training import strokes_in, train, training_lines

    folder = ScoredFolder(options.dir)
    trained = train(folder, strokes_in(folder, options.strokes, options.width_um), options.channels)
    write_tissue_model(options.out, trained)
    for line in training_lines(trained):
        print(line)
    print(f"wrote {options.out}")
    return OK


def _report(options: argparse.Namespace) -> int:
    from spatial_til.report.html import write_report

    print(f"wrote {write_report(options.dir)}")
    return OK


def _review(options: argparse.Namespace) -> int:
    from importlib import import_module
    from importlib.util import find_spec

    from spatial_til.review.journal import check_reader
    from spatial_til.review.opening import check_slide

    check_slide(options.dir, options.slide)
    if options.reader is not None:
        check_reader(options.reader)
    if find_spec("napari") is None:
        print('review needs napari: pip install "spatial-til[napari]"', file=sys.stderr)
        return UNUSABLE
    import_module("spatial_til.plugin").open_review(options.dir, options.slide, options.reader, blinded=options.blinded)
    return OK


def _export(options: argparse.Namespace) -> int:
    from spatial_til.export import export_folder

    for path in export_folder(options.dir, options.format, options.out):
        print(f"wrote {path}")
    return OK


def _demo(options: argparse.Namespace) -> int:
    from spatial_til.batch import sample_study, score_study

    study = sample_study(make=True, quiet=options.quiet)
    summary = score_study(study, options.out, workers=options.workers, quiet=options.quiet)
    return _close(summary, options.out)


def _close(summary: Summary, folder: Path) -> int:
    """Write the report of a run that ended, and say what it came to."""
    from spatial_til.report.html import write_report

    reports = [write_report(path) for path in (summary.reviewed, folder) if path is not None]
    for line in summary.lines:
        print(line)
    for report in reports:
        print(f"report: {report.absolute()}")
    for failure in summary.failures:
        _tell(str(failure))
    return SOME_FAILED if summary.failures else OK


if __name__ == "__main__":
    main()
