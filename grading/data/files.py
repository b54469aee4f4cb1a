"""Find the files of data sets on this machine, and read and verify them."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from grading.data.sources import DataFile, DataSource
from grading.errors import GraderError

VARIABLE = "TINYTORCH_DATA"
LARGEST = 64 * 2**20
"""The maximum size of a data set's file, in bytes. A larger file is not read."""


class DamagedError(GraderError):
    """The error raised if a file exists but its content is wrong."""


@dataclass(frozen=True)
class DataLocation:
    """The folder that contains a data set's files or, if all of them are missing, the folder that they belong in."""

    folder: Path
    own: bool
    """Whether this is the folder that the user set. Nothing in that folder is ever changed."""
    missing: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every file is present."""
        return not self.missing


def get_cache_folder() -> Path:
    """Return the path of the folder for downloads, in the user's cache folder. It may not exist yet."""
    return platformdirs.user_cache_path("tinytorch", appauthor=False) / "data"


def find_configured_data_folder() -> Path | None:
    """Return the folder in TINYTORCH_DATA, or None if that is not set; raise GraderError if it is not a folder."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    folder = Path(named).expanduser().absolute()
    if not folder.is_dir():
        raise GraderError(
            f"{VARIABLE} is set to {folder}, which is not a folder. Set it to an existing folder, or `unset "
            f"{VARIABLE}`."
        )
    return folder


def locate_data_set(source: DataSource) -> DataLocation:
    """Find a data set's folder and missing files: the user's folder, if that holds any of its files, or the cache.

    In the user's folder, `DIR/mnist/…` comes before `DIR/…`. The files may be plain or end in `.gz`.
    """
    own = find_configured_data_folder()
    for folder in (own / source.folder, own) if own else ():
        missing = _list_missing_files(folder, source)
        if len(missing) < len(source.files):
            return DataLocation(folder, own=True, missing=missing)
    folder = get_cache_folder() / source.folder
    return DataLocation(folder, own=False, missing=_list_missing_files(folder, source))


def _list_missing_files(folder: Path, source: DataSource) -> tuple[str, ...]:
    """List the data set's files that a folder contains neither plain nor as .gz."""
    return tuple(file.name for file in source.files if find_plain_or_gzip_file(folder, file) is None)


def find_plain_or_gzip_file(folder: Path, file: DataFile) -> Path | None:
    """Find a file in this folder, plain or as .gz; return None if it does not exist."""
    paths = (folder / file.name, folder / f"{file.name}.gz")
    return next((path for path in paths if path.is_file()), None)


def read_data_file(folder: Path, file: DataFile, *, fixed: bool = True) -> bytes:
    """Read a file's unpacked bytes; raise DamagedError if it is missing, unreadable or does not match its checksum.

    If ``fixed`` is False, the checksum is not compared.
    """
    path = find_plain_or_gzip_file(folder, file)
    if path is None:
        raise DamagedError(f"{folder / file.name} no longer exists.")
    try:
        data = _read_limited(path, LARGEST)
        if path.suffix == ".gz":
            data = unpack_gzip(data, file.size or LARGEST)
        if fixed:
            verify_file(data, file)
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DamagedError(f"{path} is damaged: {error}.") from None
    return data


def _read_limited(path: Path, limit: int) -> bytes:
    """Read a file of at most ``limit`` bytes; raise ValueError if it is larger."""
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it has more than {limit} bytes")
    return data


def unpack_gzip(data: bytes, limit: int) -> bytes:
    """Unpack a gzip file to at most ``limit`` bytes; raise ValueError if it is truncated, damaged or larger."""
    unpacker = zlib.decompressobj(wbits=31)  # 31: with gzip's header and checksum
    try:
        content = unpacker.decompress(data, limit + 1)
    except zlib.error:
        raise ValueError("it is not a complete gzip file") from None
    if len(content) > limit:
        raise ValueError(f"it unpacks to more than {limit} bytes")
    if not unpacker.eof:
        raise ValueError("it is truncated")
    return content


def verify_file(data: bytes, file: DataFile) -> None:
    """Raise ValueError if the unpacked bytes do not have the file's size and checksum."""
    if file.size is not None and len(data) != file.size:
        raise ValueError(f"it unpacks to {len(data)} bytes instead of {file.size}")
    if not matches_checksum(data, file.checksum):
        raise ValueError(f"its {file.checksum.partition(':')[0].upper()} checksum is not that of {file.name}")


def matches_checksum(data: bytes, checksum: str) -> bool:
    """Return whether bytes match a checksum such as `sha256:…`."""
    kind, _, expected = checksum.partition(":")
    return hashlib.new(kind, data, usedforsecurity=False).hexdigest() == expected


def rename_damaged_file(path: Path) -> Path:
    """Rename a damaged file to an unused name, and return the new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return path.rename(aside)
