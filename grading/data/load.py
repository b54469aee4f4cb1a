"""Load a data set by name, either from this machine only, or with a download or a stand-in if necessary."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from grading.data.batches import parse_cifar_pickle
from grading.data.dataset import DataSet, TextSet
from grading.data.digits import load_digits
from grading.data.fetch import UnreachableError, fetch_data_set
from grading.data.files import (
    VARIABLE,
    DamagedError,
    DataLocation,
    find_plain_or_gzip_file,
    locate_data_set,
    matches_checksum,
    read_data_file,
    rename_damaged_file,
)
from grading.data.idx import read_idx
from grading.data.python_docs import load_python_docs
from grading.data.shapes import draw_shapes_data_set
from grading.data.sources import SOURCES, DataFile, DataSource
from grading.errors import GraderError, UsageError
from grading.render.progress_watch import ProgressWatch

STAND_INS = {"mnist": load_digits, "cifar10": draw_shapes_data_set}
TEXT_STAND_INS = {"shakespeare": load_python_docs}


class MissingError(GraderError):
    """The error raised if a data set is missing or incomplete on this machine."""


def find_data_source(name: str) -> DataSource:
    """Find a data set's entry in the catalogue; raise UsageError if there is none."""
    if name not in SOURCES:
        raise UsageError(f"There is no data set {name!r}. The data sets are {', '.join(SOURCES)}.")
    return SOURCES[name]


def load_or_fetch_images(name: str, watch: ProgressWatch) -> DataSet:
    """Load images from this machine or download them. If no mirror delivers them, load their stand-in.

    Raise UnreachableError if there is no stand-in. Raise GraderError for any error that is unrelated to the network,
    such as a damaged file or a full disk.
    """
    return load_images(name) if _fetch_unless_present(name, watch) else STAND_INS[name]()


def load_or_fetch_text(name: str, watch: ProgressWatch) -> TextSet:
    """Load a text from this machine or download it. If no mirror delivers it, load its stand-in.

    Raise UnreachableError if there is no stand-in, or GraderError for any error that is unrelated to the network.
    """
    return load_text(name) if _fetch_unless_present(name, watch) else TEXT_STAND_INS[name]()


def fetch_if_missing(name: str, watch: ProgressWatch) -> bool:
    """Download a data set if it is read from the cache and missing there; return whether this call downloaded it."""
    place = locate_data_set(find_data_source(name))
    return bool(place.missing) and not place.own and _fetch_unless_present(name, watch)


def _fetch_unless_present(name: str, watch: ProgressWatch) -> bool:
    """Download a data set that the cache lacks. If no mirror delivers it, return False if it has a stand-in, or raise.

    The error is UnreachableError. Nothing is downloaded into a folder of the user's own.
    """
    source = find_data_source(name)
    place = locate_data_set(source)
    if place.missing and not place.own:
        try:
            fetch_data_set(source, watch)
        except UnreachableError:
            if name not in STAND_INS and name not in TEXT_STAND_INS:
                raise
            reason = f"{name} cannot be downloaded (`tito data fetch {name}` says why)"
            watch.begin_phase(f"{reason}: its stand-in is used, {source.stand_in}", None)
            return False
    return True


def describe_data_identity(name: str) -> str:
    """Without reading it, describe the data that would be loaded. Equal descriptions mean equal data."""
    source = find_data_source(name)
    place = locate_data_set(source)
    if place.missing:
        return f"{name} is missing"
    if source.fixed:
        return _combine_checksums(file.checksum for file in source.files)
    paths = (find_plain_or_gzip_file(place.folder, file) for file in source.files)
    found = ((path, path.stat()) for path in paths if path is not None)
    return "; ".join(f"{path} of {about.st_size} bytes at {about.st_mtime_ns}" for path, about in found)


def load_images(name: str) -> DataSet:
    """Load images from the folder set by TINYTORCH_DATA, or from the cache; raise MissingError if they are missing.

    Nothing is downloaded. Raise UsageError for an unknown name, and DamagedError if a file is damaged. A damaged file
    in the cache is set aside.
    """
    source, place, contents = _read_data_files(name)
    try:
        arrays = _READERS[name](contents)
    except ValueError as error:
        raise DamagedError(f"{place.folder} does not hold {name}: {error}. {_suggest_repair(source, place)}") from None
    official = (
        source.fixed
        or not place.own
        or all(matches_checksum(content, file.checksum) for file, content in contents.items())
    )
    if official:
        return DataSet(
            name, *arrays, digest=_combine_checksums(file.checksum for file in source.files), classes=source.classes
        )
    checksums = (f"sha256:{hashlib.sha256(content).hexdigest()}" for content in contents.values())
    return DataSet(
        f"{name}-variant", *arrays, digest=_combine_checksums(checksums), stand_in_for=name, classes=source.classes
    )


def load_text(name: str) -> TextSet:
    """Load a text from the folder set by TINYTORCH_DATA, or from the cache. Raise the same errors as `load_images`."""
    source, _, contents = _read_data_files(name)
    return TextSet(name, b"".join(contents.values()), _combine_checksums(file.checksum for file in source.files))


def _read_data_files(name: str) -> tuple[DataSource, DataLocation, dict[DataFile, bytes]]:
    """Read a data set's files, as (catalogue entry, location, bytes). Raise MissingError or DamagedError."""
    source = find_data_source(name)
    place = locate_data_set(source)
    if place.missing:
        raise MissingError(_explain_missing_files(source, place))
    return source, place, {file: _read_verified_file(source, place, file) for file in source.files}


def _read_verified_file(source: DataSource, place: DataLocation, file: DataFile) -> bytes:
    """Read and verify one file's bytes. If it is damaged, rename it in the cache and raise DamagedError.

    The user's own file is never renamed, and is not verified if the data set has no fixed checksums.
    """
    path = find_plain_or_gzip_file(place.folder, file)
    try:
        return read_data_file(place.folder, file, fixed=source.fixed or not place.own)
    except DamagedError as error:
        aside = "" if place.own or path is None else f" It has been set aside as {rename_damaged_file(path).name}."
        raise DamagedError(f"{error}{aside} {_suggest_repair(source, place)}") from None


def _combine_checksums(checksums: Iterable[str]) -> str:
    """Combine checksums, in order, into one SHA-256 digest in hexadecimal."""
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def _explain_missing_files(source: DataSource, place: DataLocation) -> str:
    """Explain that a data set is missing, and how to get it."""
    if place.own:
        names = ", ".join(place.missing)
        return f"{place.folder} lacks {names}, plain or as .gz. Add the missing files, or `unset {VARIABLE}`."
    return (
        f"{source.name} is not on this machine. Download it, about {source.size / 1e6:.0f} MB: `tito data fetch "
        f"{source.name}`. Or, if a folder already contains it: export {VARIABLE}=FOLDER"
    )


def _suggest_repair(source: DataSource, place: DataLocation) -> str:
    """Explain how to replace a damaged file."""
    if place.own:
        return f"Replace it with a good copy, or `unset {VARIABLE}`."
    return f"Download it again: `tito data fetch {source.name}`"


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _parse_mnist(contents: dict[DataFile, bytes]) -> Arrays:
    """Parse MNIST's four IDX files: images and labels for training, then for testing."""
    train_images, train_labels, test_images, test_labels = map(read_idx, contents.values())
    return (
        train_images[:, None],
        train_labels.astype(np.int64),
        test_images[:, None],
        test_labels.astype(np.int64),
    )


def _parse_cifar10(contents: dict[DataFile, bytes]) -> Arrays:
    """Parse CIFAR-10's five training batches and its test batch. Raise ValueError if a batch is not valid."""
    batches = []
    for file, content in contents.items():
        try:
            batches.append(parse_cifar_pickle(content))
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None
    *train, (test_images, test_labels) = batches
    images, labels = zip(*train, strict=True)
    return np.concatenate(images), np.concatenate(labels), test_images, test_labels


_READERS = {"mnist": _parse_mnist, "cifar10": _parse_cifar10}
