"""The journal as a file: torn lines, two writers, names, faults by file and line, and a crash in the middle."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from spatial_til.errors import ReviewError, SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.review.events import CallFlip, LineSetAside, SessionOpened, ThresholdEdit, Undo
from spatial_til.review.journal import journals, open_journal, read_journal, readers
from spatial_til.review.state import replay


def cut(value: float, who: str = "anna") -> ThresholdEdit:
    return ThresholdEdit(who=who, marker="CD8", value=value)


@pytest.fixture
def folder(tmp_path):
    return ScoredFolder(tmp_path)


def write(folder, *events, reader="anna"):
    with open_journal(folder, "S1", reader) as journal:
        for event in events:
            journal.append(event)


def test_close_and_reopen_gives_the_same_state(folder):
    events = [
        cut(0.1),
        cut(0.2),
        Undo(who="anna"),
        CallFlip(who="anna", x_um=1 / 3, y_um=2e4, marker="CD8", positive=True),
    ]
    write(folder, *events)
    with open_journal(folder, "S1", "anna") as journal:
        assert journal.events == events
        assert replay(journal.events) == replay(events)
        assert journal.notices == ()
    assert folder.review("S1", "anna") == folder.root / "review" / "S1.anna.jsonl"


def test_what_was_written_is_never_touched_again(folder):
    write(folder, cut(0.1))
    before = folder.review("S1", "anna").read_bytes()
    write(folder, cut(0.2))
    assert folder.review("S1", "anna").read_bytes().startswith(before)


@pytest.mark.parametrize("keep", [1, 20, -2])
def test_a_torn_last_line_is_set_aside_and_stays_in_the_file(folder, keep):
    write(folder, cut(0.1), cut(0.2))
    path = folder.review("S1", "anna")
    lines = path.read_bytes().splitlines(keepends=True)
    torn = lines[0] + lines[1][:keep]
    path.write_bytes(torn)
    read = read_journal(path)
    assert [e.value for e in read.events] == [0.1]
    assert f"{path}, line 2: torn off by a crash, set aside" in read.notices
    write(folder, cut(0.3))
    assert path.read_bytes().startswith(torn)
    again = read_journal(path)
    assert [e.value for e in again.events if isinstance(e, ThresholdEdit)] == [0.1, 0.3]
    assert [e.line for e in again.events if isinstance(e, LineSetAside)] == [2]


def test_a_last_line_that_lacks_only_its_line_break_counts(folder):
    write(folder, cut(0.1), cut(0.2))
    path = folder.review("S1", "anna")
    path.write_bytes(path.read_bytes()[:-1])
    write(folder, cut(0.3))
    assert [e.value for e in read_journal(path).events] == [0.1, 0.2, 0.3]


def test_faults_name_file_and_line_all_at_once(folder):
    write(folder, cut(0.1), cut(0.2), cut(0.3))
    path = folder.review("S1", "anna")
    lines = path.read_text().splitlines()
    lines[0], lines[1] = "garbage", lines[1].replace("0.2", '"high"')
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ReviewError) as error:
        read_journal(path)
    assert error.value.problems[0].startswith(f"{path}, line 1: ")
    assert error.value.problems[1] == f'{path}, line 2: value must be a finite number, or null, found "high"'
    with pytest.raises(ReviewError), open_journal(folder, "S1", "anna"):
        pass


def test_a_journal_under_another_name_is_refused(folder):
    write(folder, SessionOpened(who="anna", slide_id="S1", measure_key="k"), cut(0.1))
    path = folder.review("S1", "anna")
    for other, says in (
        (folder.review("S1", "ben"), "line 2: it is by anna, and the file is ben's"),
        (folder.review("S2", "anna"), "line 1: it is of slide S1, and the file is of S2"),
    ):
        other.write_bytes(path.read_bytes())
        with pytest.raises(ReviewError, match=says):
            read_journal(other)
    with pytest.raises(ValueError, match="it is by ben"):
        write(folder, cut(0.1, "ben"))


def test_bytes_that_are_no_text_are_a_fault_of_their_line(folder):
    write(folder, cut(0.1))
    path = folder.review("S1", "anna")
    path.write_bytes(b"\xff\xfe\n" + path.read_bytes())
    with pytest.raises(ReviewError, match="line 1"):
        read_journal(path)


def test_one_writer_at_a_time_for_one_reader(folder):
    with open_journal(folder, "S1", "anna"):
        with pytest.raises(SpatialTilError, match=r"anna has S1 open elsewhere .*close it there first"):
            write(folder, cut(0.1))
        write(folder, cut(0.1, "ben"), reader="ben")
        read_journal(folder.review("S1", "anna"))
    write(folder, cut(0.1))


@pytest.mark.parametrize("name", ["", "../anna", "a/b", "an.na", "anna\n", "x" * 65, "ä"])
def test_names_that_could_leave_the_folder_are_refused(folder, name):
    with pytest.raises(ReviewError, match="a reader's name has"):
        write(folder, cut(0.1), reader=name)
    assert not (folder.root / "review").exists()


def test_slides_and_readers_are_told_apart_by_the_last_dot(folder):
    for slide, reader in (("S1", "anna"), ("S1.a", "ben"), ("S2", "anna")):
        with open_journal(folder, slide, reader) as journal:
            journal.append(cut(0.1, reader))
    assert list(journals(folder)) == [("S1.a", "ben"), ("S1", "anna"), ("S2", "anna")]
    assert readers(folder) == ("anna", "ben")


def test_a_journal_that_cannot_be_written_says_so(folder):
    (folder.root / "review").mkdir()
    folder.review("S1", "anna").mkdir()
    with pytest.raises(ReviewError, match="cannot be read"):
        write(folder, cut(0.1))


@pytest.mark.parametrize("written", [0, 1, 30])
def test_a_full_disk_costs_one_edit_and_the_next_goes_on(folder, monkeypatch, written):
    whole = os.write

    def full(descriptor, data):
        whole(descriptor, data[:written])
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_journal(folder, "S1", "anna") as journal:
        journal.append(cut(0.1))
        with monkeypatch.context() as patch:
            patch.setattr("spatial_til.review.journal.os.write", full)
            for _ in range(4):
                with pytest.raises(ReviewError, match=r"was not saved .No space left on device.: make room"):
                    journal.append(cut(0.2))
        journal.append(cut(0.3))
        told = [e.value for e in journal.events if isinstance(e, ThresholdEdit)]
    read = read_journal(folder.review("S1", "anna"))
    assert [e.value for e in read.events if isinstance(e, ThresholdEdit)] == told == [0.1, 0.3]


def test_an_edit_that_was_told_lost_does_not_come_back(folder, monkeypatch):
    with open_journal(folder, "S1", "anna") as journal:
        journal.append(cut(0.1))
        with monkeypatch.context() as patch:
            patch.setattr(
                "spatial_til.review.journal.os.fsync", lambda _: (_ for _ in ()).throw(OSError(5, "I/O error"))
            )
            with pytest.raises(ReviewError, match="I/O error"):
                journal.append(cut(0.2))
        journal.append(cut(0.3))
    read = read_journal(folder.review("S1", "anna"))
    assert [e.value for e in read.events if isinstance(e, ThresholdEdit)] == [0.1, 0.3]


WRITER = """
import sys
from pathlib import Path
from spatial_til.io.folder import ScoredFolder
from spatial_til.review.events import ThresholdEdit
from spatial_til.review.journal import open_journal
with open_journal(ScoredFolder(Path(sys.argv[1])), "S1", "anna") as journal:
    for k in range(100000):
        journal.append(ThresholdEdit(who="anna", marker="CD8", value=float(k)))
        print(k, flush=True)
"""


def test_a_killed_writer_loses_at_most_the_edit_in_hand(folder):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder.root)], stdout=subprocess.PIPE, text=True)
    told = [int(process.stdout.readline()) for _ in range(20)]
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    told += [int(line) for line in process.stdout.read().splitlines()]
    process.wait()
    values = [event.value for event in read_journal(folder.review("S1", "anna")).events]
    assert values[: len(told)] == told
    assert len(values) <= len(told) + 1
    write(folder, cut(0.5))  # the lock went with its holder
