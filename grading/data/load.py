"""A data set by its name: `load` from this machine, `obtain` from wherever it can be had."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from grading.data.batches import read_batch
from grading.data.dataset import DataSet, TextSet
from grading.data.digits import load_digits
from grading.data.fetch import UnreachableError, fetch
from grading.data.files import VARIABLE, DamagedError, Place, find, matches, path_of, read, set_aside
from grading.data.idx import read_idx
from grading.data.python_docs import load_python_docs
from grading.data.shapes import load_shapes
from grading.data.sources import SOURCES, File, Source
from grading.errors import GraderError, UsageError
from grading.render.progress import Watch

STAND_INS = {"mnist": load_digits, "cifar10": load_shapes}
TEXT_STAND_INS = {"shakespeare": load_python_docs}


class MissingError(GraderError):
    """A data set is not on this machine, or not all of it."""


def source_named(name: str) -> Source:
    """The data set's entry in the catalogue; UsageError when there is none."""
    if name not in SOURCES:
        raise UsageError(f"There is no data set {name!r}. There are: {', '.join(SOURCES)}.")
    return SOURCES[name]


def obtain(name: str, watch: Watch) -> DataSet:
    """The images: as they are here, else downloaded, else, where no mirror gives them, their stand-in.

    Raises UnreachableError when there is no stand-in, and GraderError for what more network would not mend: a damaged
    file, a full disk.
    """
    return load(name) if _fetch_unless_here(name, watch) else STAND_INS[name]()


def obtain_text(name: str, watch: Watch) -> TextSet:
    """The text, from wherever `obtain` would have images from; it raises what `obtain` does."""
    return load_text(name) if _fetch_unless_here(name, watch) else TEXT_STAND_INS[name]()


def fetch_if_missing(name: str, watch: Watch) -> bool:
    """Download a data set that is not here; whether it has come, so that its stand-in is needed no longer."""
    place = find(source_named(name))
    return bool(place.missing) and not place.own and _fetch_unless_here(name, watch)


def _fetch_unless_here(name: str, watch: Watch) -> bool:
    """Whether the data set can be loaded now; False when nothing but its stand-in is left."""
    source = source_named(name)
    place = find(source)
    if place.missing and not place.own:
        try:
            fetch(source, watch)
        except UnreachableError:
            if name not in STAND_INS and name not in TEXT_STAND_INS:
                raise
            reason = f"{name} cannot be downloaded (`tito data fetch {name}` says why)"
            watch.phase(f"{reason}: its stand-in is used, {source.stand_in}", None)
            return False
    return True


def identity(name: str) -> str:
    """What `load` would read, told without reading it: equal for equal data, and quick."""
    source = source_named(name)
    place = find(source)
    if place.missing:
        return f"{name} is missing"
    if source.fixed:
        return _digest(file.checksum for file in source.files)
    paths = (path_of(place.folder, file) for file in source.files)
    found = ((path, path.stat()) for path in paths if path is not None)
    return "; ".join(f"{path} of {about.st_size} bytes at {about.st_mtime_ns}" for path, about in found)


def load(name: str) -> DataSet:
    """The images from the folder TINYTORCH_DATA names, or else from the cache; nothing is downloaded.

    Raises UsageError for an unknown name, MissingError when it is not there, DamagedError when a file is not as it
    should be. A damaged file of the cache is set aside.
    """
    source, place, contents = _read_files(name)
    try:
        arrays = _READERS[name](contents)
    except ValueError as error:
        raise DamagedError(f"{place.folder} does not hold {name}: {error}. {_mend(source, place)}") from None
    official = (
        source.fixed or not place.own or all(matches(content, file.checksum) for file, content in contents.items())
    )
    if official:
        return DataSet(name, *arrays, digest=_digest(file.checksum for file in source.files), classes=source.classes)
    checksums = (f"sha256:{hashlib.sha256(content).hexdigest()}" for content in contents.values())
    return DataSet(f"{name}-variant", *arrays, digest=_digest(checksums), stand_in_for=name, classes=source.classes)


def load_text(name: str) -> TextSet:
    """The text, from where `load` would have images from; it raises what `load` does."""
    source, _, contents = _read_files(name)
    return TextSet(name, b"".join(contents.values()), _digest(file.checksum for file in source.files))


def _read_files(name: str) -> tuple[Source, Place, dict[File, bytes]]:
    """A data set's entry in the catalogue, where it is here, and the bytes of its files."""
    source = source_named(name)
    place = find(source)
    if place.missing:
        raise MissingError(_missing(source, place))
    return source, place, {file: _content(source, place, file) for file in source.files}


def _content(source: Source, place: Place, file: File) -> bytes:
    """One file's bytes, verified unless it is the user's own and has no one form."""
    path = path_of(place.folder, file)
    try:
        return read(place.folder, file, fixed=source.fixed or not place.own)
    except DamagedError as error:
        aside = "" if place.own or path is None else f" It is set aside as {set_aside(path).name}."
        raise DamagedError(f"{error}{aside} {_mend(source, place)}") from None


def _digest(checksums: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def _missing(source: Source, place: Place) -> str:
    if place.own:
        names = ", ".join(place.missing)
        return f"{place.folder} lacks {names}, plain or .gz. Add what is missing, or `unset {VARIABLE}`."
    return (
        f"{source.name} is not on this machine. Download it, about {source.size / 1e6:.0f} MB: `tito data fetch "
        f"{source.name}`. Or name a folder that has it: export {VARIABLE}=FOLDER"
    )


def _mend(source: Source, place: Place) -> str:
    if place.own:
        return f"Put a good copy in its place, or `unset {VARIABLE}`."
    return f"Download it again: `tito data fetch {source.name}`"


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _mnist(contents: dict[File, bytes]) -> Arrays:
    """Four IDX files: images and labels for training, then for testing."""
    train_images, train_labels, test_images, test_labels = map(read_idx, contents.values())
    return (
        train_images[:, None],
        train_labels.astype(np.int64),
        test_images[:, None],
        test_labels.astype(np.int64),
    )


def _cifar10(contents: dict[File, bytes]) -> Arrays:
    """Five training batches and the test batch. ValueError names the batch that is none."""
    batches = []
    for file, content in contents.items():
        try:
            batches.append(read_batch(content))
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None
    *train, (test_images, test_labels) = batches
    images, labels = zip(*train, strict=True)
    return np.concatenate(images), np.concatenate(labels), test_images, test_labels


_READERS = {"mnist": _mnist, "cifar10": _cifar10}
