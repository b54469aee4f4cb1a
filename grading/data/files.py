"""Files of data sets on this machine: where they are looked for, and reading one that is what it should be."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from grading.data.sources import File, Source
from grading.errors import GraderError

VARIABLE = "TINYTORCH_DATA"
LARGEST = 64 * 2**20
"""No file of a data set is as large; what is, is not read."""


class DamagedError(GraderError):
    """A file is there and is not what it should be."""


@dataclass(frozen=True)
class Place:
    """Where the files of a data set are, or, when `missing` names all of them, would go."""

    folder: Path
    own: bool
    """Whether the user named the folder: nothing is ever changed there."""
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every file is there."""
        return not self.missing


def cache() -> Path:
    """The folder downloads go to, in the user's cache folder."""
    return platformdirs.user_cache_path("tinytorch", appauthor=False) / "data"


def own_folder() -> Path | None:
    """The folder that TINYTORCH_DATA names; None when it names none. GraderError when it is no folder."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    folder = Path(named).expanduser().absolute()
    if not folder.is_dir():
        raise GraderError(f"{VARIABLE} names {folder}, which is no folder. Name one that is, or `unset {VARIABLE}`.")
    return folder


def find(source: Source) -> Place:
    """Where a data set is: the named folder if it holds any of its files, else the cache.

    In each, `DIR/mnist/…` comes before `DIR/…`. The files may be plain or end in `.gz`.
    """
    own = own_folder()
    for folder in (own / source.folder, own) if own else ():
        missing = _missing(folder, source)
        if len(missing) < len(source.files):
            return Place(folder, own=True, missing=missing)
    folder = cache() / source.folder
    return Place(folder, own=False, missing=_missing(folder, source))


def _missing(folder: Path, source: Source) -> tuple[str, ...]:
    return tuple(file.name for file in source.files if path_of(folder, file) is None)


def path_of(folder: Path, file: File) -> Path | None:
    """The file in this folder, plain or else as .gz; None when it is not there."""
    paths = (folder / file.name, folder / f"{file.name}.gz")
    return next((path for path in paths if path.is_file()), None)


def read(folder: Path, file: File, *, fixed: bool = True) -> bytes:
    """The unpacked bytes of a file that is there. DamagedError when they are not those the checksum promises.

    With ``fixed`` False, other bytes pass, too.
    """
    path = path_of(folder, file)
    if path is None:
        raise DamagedError(f"{folder / file.name} is gone.")
    try:
        data = _whole(path, LARGEST)
        if path.suffix == ".gz":
            data = gunzip(data, file.size or LARGEST)
        if fixed:
            check(data, file)
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DamagedError(f"{path} is damaged: {error}.") from None
    return data


def _whole(path: Path, limit: int) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it has more than {limit} bytes")
    return data


def gunzip(data: bytes, limit: int) -> bytes:
    """The content of a gzip file of at most ``limit`` bytes. ValueError when it is cut short, damaged or larger."""
    unpacker = zlib.decompressobj(wbits=31)  # 31: with gzip's header and checksum
    try:
        content = unpacker.decompress(data, limit + 1)
    except zlib.error:
        raise ValueError("it is not a whole gzip file") from None
    if len(content) > limit:
        raise ValueError(f"it unpacks to more than {limit} bytes")
    if not unpacker.eof:
        raise ValueError("it is cut short")
    return content


def check(data: bytes, file: File) -> None:
    """Nothing, or ValueError when the unpacked bytes are not the file's."""
    if file.size is not None and len(data) != file.size:
        raise ValueError(f"unpacked it has {len(data)} bytes and should have {file.size}")
    if not matches(data, file.checksum):
        raise ValueError(f"its {file.checksum.partition(':')[0].upper()} checksum is not that of {file.name}")


def matches(data: bytes, checksum: str) -> bool:
    """Whether bytes have a checksum such as `sha256:…`."""
    kind, _, expected = checksum.partition(":")
    return hashlib.new(kind, data, usedforsecurity=False).hexdigest() == expected


def set_aside(path: Path) -> Path:
    """Move a damaged file out of the way, under a name that no file has yet, and return that name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return path.rename(aside)
