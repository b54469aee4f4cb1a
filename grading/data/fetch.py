"""Fetch a data set into the cache: download, unpack and verify each file, then move it into place atomically."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from grading.data.files import (
    LARGEST,
    VARIABLE,
    DamagedError,
    find_plain_or_gzip_file,
    get_cache_folder,
    read_data_file,
    rename_damaged_file,
    unpack_gzip,
    verify_file,
)
from grading.data.sources import DataFile, DataSource, Download
from grading.errors import GraderError
from grading.files import BusyError, lock_file, write_atomically
from grading.render.progress_watch import ProgressWatch


class UnreachableError(GraderError):
    """The error raised if no mirror delivers the data set, for example because there is no network."""


def fetch_data_set(source: DataSource, watch: ProgressWatch) -> Path:
    """Download any missing files of a data set to the cache, and return its folder.

    Valid files are kept, and damaged ones are set aside. An interrupt leaves only complete files and resumable partial
    downloads. Raise UnreachableError if no mirror delivers a file, or GraderError if the file cannot be written.
    """
    folder = get_cache_folder() / source.folder
    watch.begin_phase(f"Looking for {source.name}", None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock_folder(folder, watch):
            _delete_unfinished_files(folder, source)
            for what in source.downloads:
                whole = [_is_valid_file(folder, file, watch) for file in what.gives]
                if not all(whole):
                    _download_files(what, folder, source, watch)
    except OSError as error:
        raise _explain_write_error(error, folder, source) from error
    return folder


@contextlib.contextmanager
def _lock_folder(folder: Path, watch: ProgressWatch) -> Iterator[None]:
    """Lock a folder, after waiting for any other download into it. If the file system cannot lock, only say so."""
    with (folder / ".lock").open("a") as file:
        try:
            locked = lock_file(file)
        except BusyError:
            watch.begin_phase("Waiting for another download of the same data", None)
            locked = lock_file(file, wait=True)
        if not locked:
            watch.begin_phase(
                f"The file system of {folder} does not support locking: start only one download at a time", None
            )
        yield


def _delete_unfinished_files(folder: Path, source: DataSource) -> None:
    """Delete unfinished files left by a killed process. They have the names that `write_atomically` uses."""
    for file in source.files:
        for unfinished in folder.glob(f".{file.name}.*"):
            unfinished.unlink()


def _is_valid_file(folder: Path, file: DataFile, watch: ProgressWatch) -> bool:
    """Return whether a file is present and valid. A damaged file is set aside."""
    path = find_plain_or_gzip_file(folder, file)
    if path is None:
        return False
    try:
        read_data_file(folder, file)
    except DamagedError:
        watch.begin_phase(f"{path} is damaged and has been set aside as {rename_damaged_file(path).name}", None)
        return False
    return True


def _download_files(download: Download, folder: Path, source: DataSource, watch: ProgressWatch) -> None:
    """Download, verify and store one download's files; raise UnreachableError if no mirror delivers it."""
    # Importing Requests takes as long as reading MNIST, and is needed only for a download.
    from grading.data.download import MirrorError, delete_partial_files, download_file

    def store_files(archive_path: Path) -> None:
        """Verify the files of a download, and write each into the folder."""
        watch.begin_phase(f"Verifying {download.name}", None)
        for file, data in _unpack_download(archive_path, download):
            write_atomically(folder / file.name, data)

    try:
        download_file(download, folder, watch, store_files)
    except MirrorError as error:
        names = ", ".join(file.name for file in source.files)
        raise UnreachableError(
            f"{source.name} cannot be downloaded.\n{error}\n"
            f"When you have a network, `tito data fetch {source.name}` resumes the download. Or copy {names} into a "
            f"folder, and set: export {VARIABLE}=FOLDER"
        ) from None
    except OSError:
        delete_partial_files(download, folder)  # a full disk should not keep a partial file
        raise


def _unpack_download(archive_path: Path, download: Download) -> Iterator[tuple[DataFile, bytes]]:
    """Yield each file in a download with its verified bytes. Raise ValueError if one is missing or not valid."""
    if download.checksum is not None:
        kind, _, expected = download.checksum.partition(":")
        with archive_path.open("rb") as stream:
            if hashlib.file_digest(stream, kind).hexdigest() != expected:
                raise ValueError(f"its {kind.upper()} checksum is wrong")
    if not download.name.endswith(".tar.gz"):
        (file,) = download.gives
        data = archive_path.read_bytes()
        if download.name.endswith(".gz"):
            data = unpack_gzip(data, file.size or LARGEST)
        verify_file(data, file)
        yield file, data
        return
    wanted = {file.name: file for file in download.gives}
    try:
        with tarfile.open(archive_path, "r:gz") as archive:
            for member in archive:
                # Only the file name counts, not the path in the archive: nothing is extracted to a path.
                content = archive.extractfile(member) if member.isfile() and member.size <= LARGEST else None
                known = wanted.pop(Path(member.name).name, None) if content else None
                if content and known:
                    data = content.read()
                    verify_file(data, known)
                    yield known, data
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"it is not a complete archive ({type(error).__name__})") from None
    if wanted:
        raise ValueError(f"it lacks {', '.join(wanted)}")


def _explain_write_error(error: OSError, folder: Path, source: DataSource) -> GraderError:
    """Return a GraderError that explains why a data set's folder is not writable, and how to continue."""
    again = f"`tito data fetch {source.name}`"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(folder).free
        return GraderError(
            f"The disk is full: {source.name} needs about {source.disk / 1e6:.0f} MB in {folder}, and "
            f"{free / 1e6:.0f} MB are free. No half-written file is left. Free some space, then run {again}"
        )
    return GraderError(f"{folder} cannot be written: {error.strerror or error}. Make it writable, then run {again}")
