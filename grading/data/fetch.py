"""Getting a data set into the cache: each file downloaded, verified unpacked, and put in its place whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from grading.data.files import LARGEST, VARIABLE, DamagedError, cache, check, gunzip, path_of, read, set_aside
from grading.data.sources import Download, File, Source
from grading.errors import GraderError
from grading.files import BusyError, lock_file, write_atomically
from grading.render.progress import Watch


class UnreachableError(GraderError):
    """No mirror gives the data set; offline, this is what happens."""


def fetch(source: Source, watch: Watch) -> Path:
    """Make the data set complete in the cache, and return its folder.

    Files that are there and whole stay; damaged ones are set aside. Raises UnreachableError when no mirror gives a
    file, GraderError when it cannot be written. Interrupted, it leaves whole files, and parts to go on with.
    """
    folder = cache() / source.folder
    watch.phase(f"Looking for {source.name}", None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder, watch):
            _sweep(folder, source)
            for what in source.downloads:
                whole = [_whole(folder, file, watch) for file in what.gives]
                if not all(whole):
                    _get(what, folder, source, watch)
    except OSError as error:
        raise _cannot_write(error, folder, source) from error
    return folder


@contextlib.contextmanager
def _alone(folder: Path, watch: Watch) -> Iterator[None]:
    """One process at a time fetches into a folder; the others wait, and then find what it fetched."""
    with (folder / ".lock").open("a") as file:
        try:
            locked = lock_file(file)
        except BusyError:
            watch.phase("Waiting for another download of the same data", None)
            locked = lock_file(file, wait=True)
        if not locked:
            watch.phase(f"The disk of {folder} has no locks: start one download at a time", None)
        yield


def _sweep(folder: Path, source: Source) -> None:
    """Delete what a killed process was writing; the names are those of `write_atomically`."""
    for file in source.files:
        for unfinished in folder.glob(f".{file.name}.*"):
            unfinished.unlink()


def _whole(folder: Path, file: File, watch: Watch) -> bool:
    """Whether a file is there and right; one that is wrong is set aside."""
    path = path_of(folder, file)
    if path is None:
        return False
    try:
        read(folder, file)
    except DamagedError:
        watch.phase(f"{path} is damaged and set aside as {set_aside(path).name}", None)
        return False
    return True


def _get(what: Download, folder: Path, source: Source, watch: Watch) -> None:
    # Requests takes as long to import as MNIST to read, and data that is here does without.
    from grading.data.download import MirrorError, discard_parts, download

    def accept(arrived: Path) -> None:
        watch.phase(f"Verifying {what.name}", None)
        for file, data in _unpacked(arrived, what):
            write_atomically(folder / file.name, data)

    try:
        download(what, folder, watch, accept)
    except MirrorError as error:
        names = ", ".join(file.name for file in source.files)
        raise UnreachableError(
            f"{source.name} cannot be downloaded.\n{error}\n"
            f"With a network, `tito data fetch {source.name}` goes on where it stopped. Or copy {names} from "
            f"elsewhere into a folder, and name it: export {VARIABLE}=FOLDER"
        ) from None
    except OSError:
        discard_parts(what, folder)  # on a full disk, what cannot be completed should not stay
        raise


def _unpacked(arrived: Path, what: Download) -> Iterator[tuple[File, bytes]]:
    """The files in what was downloaded, each verified. ValueError when it is not what it should be."""
    if what.checksum is not None:
        kind, _, expected = what.checksum.partition(":")
        with arrived.open("rb") as stream:
            if hashlib.file_digest(stream, kind).hexdigest() != expected:
                raise ValueError(f"its {kind.upper()} checksum is wrong")
    if not what.name.endswith(".tar.gz"):
        (file,) = what.gives
        data = arrived.read_bytes()
        if what.name.endswith(".gz"):
            data = gunzip(data, file.size or LARGEST)
        check(data, file)
        yield file, data
        return
    wanted = {file.name: file for file in what.gives}
    try:
        with tarfile.open(arrived, "r:gz") as archive:
            for member in archive:
                # Only names that are known, wherever the archive says they belong: nothing is extracted to a path.
                content = archive.extractfile(member) if member.isfile() and member.size <= LARGEST else None
                known = wanted.pop(Path(member.name).name, None) if content else None
                if content and known:
                    data = content.read()
                    check(data, known)
                    yield known, data
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"it is not a whole archive ({type(error).__name__})") from None
    if wanted:
        raise ValueError(f"it lacks {', '.join(wanted)}")


def _cannot_write(error: OSError, folder: Path, source: Source) -> GraderError:
    again = f"`tito data fetch {source.name}`"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(folder).free
        return GraderError(
            f"The disk is full: {source.name} needs about {source.disk / 1e6:.0f} MB in {folder}, and "
            f"{free / 1e6:.0f} MB are free. Nothing half-written was left. Make room, then: {again}"
        )
    return GraderError(
        f"{folder} cannot be written: {error.strerror or error}. Make it writable for you, then: {again}"
    )
