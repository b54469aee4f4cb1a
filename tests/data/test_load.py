"""A data set comes from the named folder, the cache, a mirror or its stand-in, and says which data it is."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grading.data import load as loading
from grading.data.fetch import UnreachableError
from grading.data.files import VARIABLE, DamagedError
from grading.data.load import MissingError, load_images, load_or_fetch_images, load_or_fetch_text, load_text
from grading.data.sources import SOURCES
from grading.errors import GraderError, UsageError
from tests.data.conftest import RecordingWatch, read_folder
from tests.data.samples import (
    build_tar,
    encode_idx,
    gzip_files,
    make_cifar_arrays,
    make_cifar_files,
    make_cifar_source,
    make_mnist_files,
    make_mnist_source,
    make_text_source,
)
from tests.data.server import Mirror, find_closed_port, serve_mirror

LABELS = "train-labels-idx1-ubyte"


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the catalogue's entries by the tiny data sets, on mirrors that do not exist."""
    archive = build_tar(make_cifar_files())
    monkeypatch.setitem(SOURCES, "mnist", make_mnist_source(find_closed_port()))
    monkeypatch.setitem(SOURCES, "cifar10", make_cifar_source(find_closed_port(), archive, make_cifar_files()))


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Write these files into a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_mnist_has_the_shapes_and_types_it_promises(cache: Path) -> None:
    """Images are (n, 1, 28, 28) of uint8, classes int64, in the order of the files."""
    write_files(cache / "mnist", make_mnist_files())
    found = load_images("mnist")
    assert found.train_inputs.shape == (6, 1, 28, 28)
    assert found.test_inputs.shape == (4, 1, 28, 28)
    assert found.train_inputs.dtype == found.test_inputs.dtype == np.uint8
    assert found.train_targets.dtype == found.test_targets.dtype == np.int64
    assert found.train_targets.tolist() == [5, 0, 4, 1, 9, 2]
    assert found.test_targets.tolist() == [7, 2, 1, 0]
    assert encode_idx(found.test_inputs[:, 0]) == make_mnist_files()["t10k-images-idx3-ubyte"]
    assert (found.name, found.stand_in_for) == ("mnist", None)


def test_cifar10_has_the_shapes_and_types_it_promises(cache: Path) -> None:
    """Images are (n, 3, 32, 32), the training batches one after the other."""
    write_files(cache / "cifar-10-batches-py", make_cifar_files())
    found = load_images("cifar10")
    *train, (rows, labels) = make_cifar_arrays().values()
    assert found.train_inputs.shape == (15, 3, 32, 32)
    assert np.array_equal(found.train_inputs.reshape(15, 3072), np.concatenate([rows for rows, _ in train]))
    assert found.train_targets.tolist() == [label for _, labels in train for label in labels]
    assert np.array_equal(found.test_inputs.reshape(3, 3072), rows)
    assert found.test_targets.tolist() == labels
    assert (found.name, found.stand_in_for) == ("cifar10", None)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_data_set_cannot_be_written_to(cache: Path, name: str) -> None:
    """Who reads it later gets the same arrays."""
    write_files(cache / "mnist", make_mnist_files())
    write_files(cache / "cifar-10-batches-py", make_cifar_files())
    found = load_images(name)
    for array in (found.train_inputs, found.train_targets, found.test_inputs, found.test_targets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


FORMS = {
    "a folder of its own, plain": ("mnist", make_mnist_files()),
    "a folder of its own, .gz": ("mnist", gzip_files(make_mnist_files())),
    "flat, plain": (".", make_mnist_files()),
    "flat, .gz": (".", gzip_files(make_mnist_files())),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_named_folder_may_have_either_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """Plain or .gz, in `mnist` or flat: the same data set with the same digest."""
    below, files = FORMS[form]
    write_files(tmp_path / "own" / below, files)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    checksums = "\n".join(f"sha256:{hashlib.sha256(data).hexdigest()}" for data in make_mnist_files().values())
    assert load_images("mnist").digest == hashlib.sha256(checksums.encode()).hexdigest()
    assert load_images("mnist").train_targets.tolist() == [5, 0, 4, 1, 9, 2]


@pytest.mark.parametrize("below", ["cifar-10-batches-py", "."])
def test_cifar10_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    """In its own folder or flat."""
    write_files(tmp_path / "own" / below, make_cifar_files())
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    assert load_images("cifar10").stand_in_for is None


def test_a_folder_without_the_data_set_leaves_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may hold one data set and not the other."""
    write_files(cache / "mnist", make_mnist_files())
    monkeypatch.setenv(VARIABLE, str(write_files(tmp_path / "own", make_cifar_files())))
    assert load_images("mnist").name == "mnist"
    assert load_images("cifar10").name == "cifar10"


def test_a_variable_that_names_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in the path is not taken for a missing data set."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(GraderError, match=r"TINYTORCH_DATA is set to .*nowhere, which is not a folder"):
        load_images("mnist")


def test_a_named_folder_with_half_a_data_set_is_told_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: RecordingWatch
) -> None:
    """Nothing is downloaded into its place, and no stand-in hides it."""
    files = make_mnist_files()
    del files[LABELS]
    monkeypatch.setenv(VARIABLE, str(write_files(tmp_path / "own", files)))
    for use in (load_images, lambda name: load_or_fetch_images(name, watch)):
        with pytest.raises(MissingError, match=f"own lacks {LABELS}, plain or as .gz. Add the missing files"):
            use("mnist")


def test_what_is_nowhere_is_answered_with_the_command() -> None:
    """The command downloads it, the variable names a folder."""
    with pytest.raises(MissingError, match=r"`tito data fetch mnist`.*export TINYTORCH_DATA=FOLDER"):
        load_images("mnist")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """It is a mistake of the caller's."""
    with pytest.raises(UsageError, match=r"no data set 'minst'. The data sets are mnist, cifar10, shakespeare"):
        load_images("minst")


DAMAGES = {
    "one byte changed": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut short": lambda data: data[:-3],
    "empty": lambda _: b"",
    "one byte more": lambda data: data + b"\0",
}


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_the_cache_is_set_aside(cache: Path, damage: str, ending: str) -> None:
    """The sentence names the file, its new name and the command; its bytes are kept."""
    files = gzip_files(make_mnist_files()) if ending else make_mnist_files()
    name = LABELS + ending
    bad = DAMAGES[damage](files[name])
    if ending and damage == "one byte more":
        bad = gzip.compress(make_mnist_files()[LABELS] + b"\0")
    write_files(cache / "mnist", files | {name: bad})
    with pytest.raises(DamagedError, match=rf"{LABELS}.*set aside as {name}.damaged-1. .*`tito data fetch mnist`"):
        load_images("mnist")
    assert read_folder(cache / "mnist")[f"{name}.damaged-1"] == bad
    with pytest.raises(MissingError):
        load_images("mnist")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_the_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """It is named, and nothing in the folder changes."""
    files = make_mnist_files()
    files[LABELS] = DAMAGES[damage](files[LABELS])
    monkeypatch.setenv(VARIABLE, str(write_files(tmp_path / "own", files)))
    with pytest.raises(DamagedError, match=rf"{LABELS} is damaged: .*Replace it with a good copy"):
        load_images("mnist")
    assert read_folder(tmp_path / "own") == files


def test_a_damaged_batch_of_the_cache_is_set_aside_unread(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was downloaded is unpickled only with the right checksum."""
    monkeypatch.setattr(loading, "parse_cifar_pickle", lambda _: pytest.fail("it was read"))
    good = make_cifar_files()
    write_files(cache / "cifar-10-batches-py", good | {"test_batch": pickle.dumps({b"data": 1})})
    with pytest.raises(DamagedError, match=r"set aside as test_batch\.damaged-1"):
        load_images("cifar10")


def test_other_batches_in_the_users_folder_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches with another checksum are read and named as a variant, so that what they measure is provisional."""
    other = {
        name: pickle.dumps({b"data": rows, b"labels": labels}, protocol=3)
        for name, (rows, labels) in make_cifar_arrays().items()
    }
    official = load_from(tmp_path / "official", make_cifar_files(), monkeypatch)
    variant = load_from(tmp_path / "variant", other, monkeypatch)
    assert (variant.name, variant.stand_in_for) == ("cifar10-variant", "cifar10")
    assert variant.digest != official.digest
    assert np.array_equal(variant.train_inputs, official.train_inputs)


def load_from(folder: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> loading.DataSet:
    """Load CIFAR-10 from a folder that holds only these files."""
    monkeypatch.setenv(VARIABLE, str(write_files(folder, files)))
    return load_images("cifar10")


def test_a_hostile_batch_in_the_users_folder_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the folder, the file, and what the batch asks for."""
    with pytest.raises(DamagedError, match=r"own does not hold cifar10: test_batch: .*builtins.print"):
        load_from(tmp_path / "own", make_cifar_files() | {"test_batch": b"cbuiltins\nprint\n."}, monkeypatch)


def test_data_that_is_here_is_read_without_what_downloads() -> None:
    """Requests, slow to import, is left alone until something must be downloaded."""
    probe = "import sys, grading.data.load; sys.exit('requests' in sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)


def test_obtaining_downloads_once(
    cache: Path, mirror: Mirror, watch: RecordingWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time from the mirror, then from the cache."""
    monkeypatch.setitem(SOURCES, "mnist", make_mnist_source(mirror.url))
    assert load_or_fetch_images("mnist", watch).stand_in_for is None
    assert load_or_fetch_images("mnist", watch).digest == load_images("mnist").digest
    assert len(mirror.asked) == 4
    assert read_folder(cache / "mnist") == make_mnist_files()


def test_offline_the_digits_stand_in_and_it_is_said(watch: RecordingWatch) -> None:
    """The data set names the one it replaces, and the watch reports it."""
    assert load_or_fetch_images("mnist", watch).record.stand_in_for == "mnist"
    assert "mnist cannot be downloaded" in watch.titles
    assert "stand-in is used, digits" in watch.titles


def test_offline_the_shapes_stand_in_for_cifar10(watch: RecordingWatch) -> None:
    """They are made on the spot, named for what they are."""
    assert load_or_fetch_images("cifar10", watch).record.model_dump(exclude={"digest"}) == {
        "name": "shapes",
        "stand_in_for": "cifar10",
    }
    assert "cifar10 cannot be downloaded" in watch.titles


def test_offline_without_a_stand_in_it_is_an_error(watch: RecordingWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made up."""
    monkeypatch.delitem(loading.STAND_INS, "cifar10")
    with pytest.raises(UnreachableError, match="cifar10 cannot be downloaded"):
        load_or_fetch_images("cifar10", watch)


def test_a_damaged_file_is_an_error_and_no_reason_for_a_stand_in(cache: Path, watch: RecordingWatch) -> None:
    """What a command can fix is not papered over."""
    write_files(cache / "mnist", make_mnist_files() | {LABELS: b"damaged"})
    with pytest.raises(DamagedError, match="tito data fetch mnist"):
        load_or_fetch_images("mnist", watch)


def test_a_text_is_downloaded_once_and_verified(
    watch: RecordingWatch, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain file arrives as it is, is read from the cache, and is the text of its checksum."""
    text = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 50
    with serve_mirror({"plays.txt": text}) as running:
        monkeypatch.setitem(SOURCES, "shakespeare", make_text_source(running.url, text))
        assert load_or_fetch_text("shakespeare", watch).data == text
    found = load_text("shakespeare")
    assert (found.data, found.stand_in_for, found.size_in_words) == (text, None, f"{len(text):,} bytes of text")
    assert read_folder(cache / "text") == {"plays.txt": text}


def test_another_text_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text has one form: other bytes in the user's own folder are not Shakespeare."""
    monkeypatch.setitem(SOURCES, "shakespeare", make_text_source(find_closed_port(), b"the plays"))
    monkeypatch.setenv(VARIABLE, str(write_files(tmp_path / "own", {"plays.txt": b"the plais"})))
    with pytest.raises(DamagedError, match=r"plays.txt is damaged.*Replace it with a good copy"):
        load_text("shakespeare")


def test_pythons_documentation_stands_in_for_shakespeare(
    watch: RecordingWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline it is a text of some hundred KB, says what it replaces, and is the same each time."""
    monkeypatch.setitem(SOURCES, "shakespeare", make_text_source(find_closed_port(), b"the plays"))
    found = load_or_fetch_text("shakespeare", watch)
    assert found.record.stand_in_for == "shakespeare"
    assert len(found.data) > 200_000
    assert b"\0" not in found.data
    assert found == load_or_fetch_text("shakespeare", watch)
    assert "stand-in is used, Python's own documentation" in watch.titles
