"""Downloads arrive whole and verified or not at all, whatever mirrors, networks and disks do."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import threading
from pathlib import Path

import pytest

from grading.data import fetch as fetching
from grading.data.download import get_partial_file_path
from grading.data.fetch import UnreachableError, fetch_data_set
from grading.errors import GraderError
from tests.data.conftest import RecordingWatch, read_folder
from tests.data.samples import (
    build_tar,
    gzip_files,
    make_cifar_files,
    make_cifar_source,
    make_mnist_files,
    make_mnist_source,
)
from tests.data.server import Mirror, find_closed_port, serve_mirror

FIRST = "train-images-idx3-ubyte.gz"


def list_first_file_ranges(mirror: Mirror) -> list[str | None]:
    """List the Range headers of the requests for the first file."""
    return [wanted for name, wanted in mirror.asked if name == FIRST]


def test_a_download_is_unpacked_and_nothing_else_is_left(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """The folder holds the unpacked files, and no part of a download."""
    assert fetch_data_set(make_mnist_source(mirror.url), watch) == cache / "mnist"
    assert read_folder(cache / "mnist") == make_mnist_files()


def test_progress_is_told_in_bytes(mirror: Mirror, watch: RecordingWatch) -> None:
    """Each file is a phase of as many steps as it has bytes, and the last step is reached."""
    fetch_data_set(make_mnist_source(mirror.url), watch)
    totals = [total for _, total in watch.phases if total is not None]
    assert totals == [len(data) for data in mirror.files.values()]
    assert set(totals) <= set(watch.done)
    assert watch.titles.count("Downloading train-images-idx3-ubyte.gz from 127.0.0.1") == 1


def test_what_is_there_is_not_downloaded_again(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """A second fetch asks nothing, a third only for the file that is gone."""
    source = make_mnist_source(mirror.url)
    fetch_data_set(source, watch)
    mirror.asked.clear()
    fetch_data_set(source, watch)
    assert mirror.asked == []
    (cache / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    fetch_data_set(source, watch)
    assert mirror.asked == [("t10k-labels-idx1-ubyte.gz", None)]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    cache: Path, mirror: Mirror, watch: RecordingWatch
) -> None:
    """Within one fetch the rest is asked for, as often as it takes."""
    mirror.breaks = [1000, 500]
    fetch_data_set(make_mnist_source(mirror.url), watch)
    assert list_first_file_ranges(mirror) == [None, "bytes=1000-", "bytes=1500-"]
    assert read_folder(cache / "mnist") == make_mnist_files()


def test_an_interrupted_download_is_gone_on_with_later(
    cache: Path, mirror: Mirror, watch: RecordingWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C there is a part and no file; the next fetch asks for the rest alone."""

    def interrupt(_done: int, _note: str = "") -> None:
        raise KeyboardInterrupt

    source = make_mnist_source(mirror.url)
    mirror.breaks = [1200]
    with monkeypatch.context() as patch:
        patch.setattr(watch, "report_steps_done", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch_data_set(source, watch)
    (part,) = read_folder(cache / "mnist")
    assert part.endswith(".part")
    assert len(read_folder(cache / "mnist")[part]) == 1200
    fetch_data_set(source, watch)
    assert list_first_file_ranges(mirror) == [None, "bytes=1200-"]
    assert read_folder(cache / "mnist") == make_mnist_files()


def test_a_server_without_ranges_sends_everything_again(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """A whole file in answer to a Range is not appended to the part."""
    mirror.ranges, mirror.breaks = False, [1000]
    fetch_data_set(make_mnist_source(mirror.url), watch)
    assert read_folder(cache / "mnist") == make_mnist_files()


def test_a_part_of_another_file_is_thrown_away(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """When the resumed whole is wrong, the file is downloaded from its beginning."""
    source = make_mnist_source(mirror.url)
    part = get_partial_file_path(source.downloads[0], cache / "mnist", f"{mirror.url}{FIRST}")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    fetch_data_set(source, watch)
    assert list_first_file_ranges(mirror) == ["bytes=14-", None]
    assert read_folder(cache / "mnist") == make_mnist_files()


def test_a_part_that_is_already_whole_is_used(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """A download interrupted after its last byte is not sent again."""
    source = make_mnist_source(mirror.url)
    part = get_partial_file_path(source.downloads[0], cache / "mnist", f"{mirror.url}{FIRST}")
    part.parent.mkdir(parents=True)
    part.write_bytes(mirror.files[FIRST])
    fetch_data_set(source, watch)
    assert len(list_first_file_ranges(mirror)) == 1
    assert read_folder(cache / "mnist") == make_mnist_files()


@pytest.mark.parametrize("habit", ["calls_gz_an_encoding", "compresses"])
def test_a_gz_file_arrives_as_it_is(cache: Path, mirror: Mirror, watch: RecordingWatch, habit: str) -> None:
    """Neither a server that calls the file's own packing an encoding nor one that likes to pack again is in the way."""
    setattr(mirror, habit, True)
    fetch_data_set(make_mnist_source(mirror.url), watch)
    assert read_folder(cache / "mnist") == make_mnist_files()


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_the_next_mirror_helps_where_one_fails(cache: Path, mirror: Mirror, watch: RecordingWatch, status: int) -> None:
    """A mirror that answers with an error is followed by the next."""
    with serve_mirror(mirror.files) as bad:
        bad.status = status
        fetch_data_set(make_mnist_source(find_closed_port(), bad.url, mirror.url), watch)
        assert len(bad.asked) == 4
    assert read_folder(cache / "mnist") == make_mnist_files()


def test_mirrors_may_pack_the_same_file_differently(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """Half a file of one mirror is never completed by another's."""
    other = {f"{name}.gz": gzip.compress(data, compresslevel=1) for name, data in make_mnist_files().items()}
    assert other[FIRST] != mirror.files[FIRST]
    with serve_mirror(other) as first:
        first.breaks = [700, 0]
        fetch_data_set(make_mnist_source(first.url, mirror.url), watch)
    assert list_first_file_ranges(mirror) == [None]
    assert read_folder(cache / "mnist") == make_mnist_files()


BAD_ANSWERS = {
    "a page of a hotel's network": (b"<html>Please log in</html>", "is not a complete gzip file"),
    "another file": (gzip.compress(bytes(16 + 6 * 28 * 28)), "its SHA256 checksum is not that of"),
    "a shorter file": (gzip.compress(b"short"), "it unpacks to 5 bytes instead of"),
    "a file that unpacks to much more": (gzip.compress(bytes(10**6)), "it unpacks to more than"),
    "too many bytes": (bytes(20_000), "sends more than"),
    "nothing": (b"", "is truncated"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_what_is_not_the_file_is_refused(cache: Path, mirror: Mirror, watch: RecordingWatch, case: str) -> None:
    """Wrong bytes name their mirror and why, and nothing of them stays."""
    mirror.files[FIRST], reason = BAD_ANSWERS[case]
    with pytest.raises(UnreachableError, match=reason) as caught:
        fetch_data_set(make_mnist_source(mirror.url), watch)
    assert "127.0.0.1" in str(caught.value)
    assert read_folder(cache / "mnist") == {}


def test_wrong_bytes_of_one_mirror_do_not_spoil_the_next(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """The next mirror is tried as if the first had not answered."""
    with serve_mirror(dict.fromkeys(mirror.files, b"<html>")) as bad:
        fetch_data_set(make_mnist_source(bad.url, mirror.url), watch)
    assert read_folder(cache / "mnist") == make_mnist_files()


def test_an_answer_cut_short_without_a_length_is_noticed(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """Where the server does not say how much is to come, the file's own end tells."""
    mirror.lengths, mirror.breaks = False, [1000]
    with pytest.raises(UnreachableError, match="truncated"):
        fetch_data_set(make_mnist_source(mirror.url), watch)
    assert read_folder(cache / "mnist") == {}


def test_without_a_network_the_sentence_says_what_to_do(cache: Path, watch: RecordingWatch) -> None:
    """Each mirror is named with its reason, then the command, the files and the variable."""
    with pytest.raises(UnreachableError) as caught:
        fetch_data_set(make_mnist_source(find_closed_port(), "http://no-such-host.invalid/"), watch)
    said = str(caught.value)
    assert "127.0.0.1" in said
    assert "it cannot be reached" in said
    assert "no-such-host.invalid: its name cannot be resolved" in said
    assert "`tito data fetch mnist`" in said
    assert ", ".join(make_mnist_files()) in said
    assert "export TINYTORCH_DATA=FOLDER" in said
    assert read_folder(cache / "mnist") == {}


def test_a_disk_that_fills_up_while_downloading_is_named(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """The sentence gives the folder, what is needed and the command; the part is deleted."""
    source = make_mnist_source(mirror.url)
    part = get_partial_file_path(source.downloads[0], cache / "mnist", f"{mirror.url}{FIRST}")
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(GraderError, match=r"disk is full.*MB are free.*`tito data fetch mnist`") as caught:
        fetch_data_set(source, watch)
    assert not part.is_symlink()
    assert str(cache / "mnist") in str(caught.value)
    assert read_folder(cache / "mnist") == {}


def test_a_disk_that_fills_up_while_unpacking_leaves_no_half_file(
    cache: Path, mirror: Mirror, watch: RecordingWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the download nor what was unpacked of it stays."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("grading.files.os.fsync", full)
    with pytest.raises(GraderError, match="disk is full"):
        fetch_data_set(make_mnist_source(mirror.url), watch)
    assert read_folder(cache / "mnist") == {}


def test_a_cache_that_cannot_be_written_is_named(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """The folder, the system's reason and the command."""
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    with pytest.raises(GraderError, match=r"cannot be written: .*`tito data fetch mnist`"):
        fetch_data_set(make_mnist_source(mirror.url), watch)


def test_a_damaged_file_is_set_aside_and_fetched_again(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """The damaged file is kept under a new name, even next to an earlier one."""
    source = make_mnist_source(mirror.url)
    folder, name = fetch_data_set(source, watch), "train-labels-idx1-ubyte"
    for damage in (b"first", b"second"):
        (folder / name).write_bytes(damage)
        fetch_data_set(source, watch)
    asides = {f"{name}.damaged-1": b"first", f"{name}.damaged-2": b"second"}
    assert read_folder(cache / "mnist") == make_mnist_files() | asides
    assert f"{name} is damaged and has been set aside as {name}.damaged-2" in watch.titles


def test_two_fetches_at_once_download_once(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """The second waits for the first, says so, and finds everything there."""
    source = make_mnist_source(mirror.url)
    (cache / "mnist").mkdir(parents=True)
    waiting = threading.Event()
    second = RecordingWatch()
    second.begin_phase = lambda title, _total: waiting.set() if title.startswith("Waiting") else None  # type: ignore[method-assign]
    with (cache / "mnist" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=fetch_data_set, args=(source, second))
        thread.start()
        assert waiting.wait(10)
        thread.join(0.3)
        assert thread.is_alive()
        assert mirror.asked == []
    thread.join(10)
    fetch_data_set(source, watch)
    assert len(mirror.asked) == 4


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_fetched_to_and_told(
    cache: Path, mirror: Mirror, watch: RecordingWatch, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The download goes on without a lock, says so once, and does not ask for rights that are there."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert fetch_data_set(make_mnist_source(mirror.url), watch) == cache / "mnist"
    assert read_folder(cache / "mnist") == make_mnist_files()
    assert watch.titles.count("does not support locking") == 1


def test_what_a_killed_fetch_was_writing_is_swept_away(cache: Path, mirror: Mirror, watch: RecordingWatch) -> None:
    """Half a file under its temporary name goes; files of the user's stay."""
    (cache / "mnist").mkdir(parents=True)
    (cache / "mnist" / ".train-labels-idx1-ubyte.x7f3k2_a").write_bytes(b"half")
    (cache / "mnist" / "notes.txt").write_bytes(b"mine")
    fetch_data_set(make_mnist_source(mirror.url), watch)
    assert read_folder(cache / "mnist") == make_mnist_files() | {"notes.txt": b"mine"}


def test_an_archive_gives_the_files_it_is_known_for(tmp_path: Path, watch: RecordingWatch) -> None:
    """Other members, wherever they say they belong, are not written."""
    files = make_cifar_files()
    members = {f"cifar-10-batches-py/{name}": data for name, data in files.items()}
    archive = build_tar({"../evil": b"1", "/tmp/evil": b"2", "cifar-10-batches-py/readme.html": b"3"} | members)  # noqa: S108 - never written
    with serve_mirror({"cifar.tar.gz": archive}) as mirror:
        folder = fetch_data_set(make_cifar_source(mirror.url, archive, files), watch)
    assert read_folder(folder) == files
    assert not list(tmp_path.rglob("evil"))


def test_another_archive_is_not_even_opened(
    cache: Path, watch: RecordingWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checksum is compared first."""
    files = make_cifar_files()
    good, bad = build_tar(files), build_tar(dict(reversed(files.items())))
    monkeypatch.setattr(fetching.tarfile, "open", lambda *_, **__: pytest.fail("it was opened"))
    with (
        serve_mirror({"cifar.tar.gz": bad}) as mirror,
        pytest.raises(UnreachableError, match="SHA256 checksum is wrong"),
    ):
        fetch_data_set(make_cifar_source(mirror.url, good, files), watch)
    assert read_folder(cache / "cifar-10-batches-py") == {}


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (build_tar({"data_batch_1": make_cifar_files()["data_batch_1"]}), "it lacks data_batch_2"),
        (build_tar(make_cifar_files() | {"test_batch": b"other"}), "MD5 checksum is not that of test_batch"),
        (build_tar(make_cifar_files())[:-3000], "not a complete archive"),
        (b"no archive", "not a complete archive"),
    ],
    ids=["a file is missing", "a file is another", "truncated", "no archive"],  # the bytes say when they were made
)
def test_an_archive_with_other_contents_is_refused(watch: RecordingWatch, archive: bytes, reason: str) -> None:
    """Each file is also verified by itself."""
    with serve_mirror({"cifar.tar.gz": archive}) as mirror, pytest.raises(UnreachableError, match=reason):
        fetch_data_set(make_cifar_source(mirror.url, archive, make_cifar_files()), watch)


def test_the_samples_are_as_the_real_files_are(mirror: Mirror) -> None:
    """The first file is long enough to break in its middle."""
    assert len(mirror.files[FIRST]) > 3000
    assert gzip_files(make_mnist_files()).keys() == mirror.files.keys()
