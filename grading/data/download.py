"""Download one file: try the mirrors in turn, and resume an interrupted attempt.

A partial download is kept in `NAME.<mirror>.part`. Each mirror compresses the file differently, so each mirror has its
own partial file. Requests handles certificates, proxies and timeouts. Pooch would also check and store files, but it
neither resumes a download nor checks unpacked bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from grading.data.sources import Download
from grading.render.progress_watch import ProgressWatch

TIMEOUTS = (10, 30)
"""The time limits for connecting and for waiting for the next byte, in seconds."""
ATTEMPTS = 5
"""The number of times that a mirror may break off the download, provided that each attempt receives some bytes."""
CHUNK = 1 << 16


class MirrorError(Exception):
    """The error raised if a mirror does not deliver the file. The message tells the user why."""


def download_file(download: Download, folder: Path, watch: ProgressWatch, accept: Callable[[Path], None]) -> None:
    """Download a file from a mirror, pass its path to ``accept``, and delete it; raise MirrorError if no mirror has it.

    ``accept`` raises ValueError to refuse the file. MirrorError lists every mirror's reason. Accepted and refused files
    are deleted, but an interrupted partial file is kept, so that it can be resumed. Write errors (OSError) are not
    caught.
    """
    reasons = []
    for url in download.urls:
        part = get_partial_file_path(download, folder, url)
        try:
            _download_from_mirror(url, part, download, watch, accept)
        except MirrorError as error:
            reasons.append(f"{urlsplit(url).netloc}: {error}.")
        else:
            delete_partial_files(download, folder)
            return
    raise MirrorError("\n".join(reasons))


def get_partial_file_path(download: Download, folder: Path, url: str) -> Path:
    """Return the path of the partial file for a mirror's download."""
    return folder / f"{download.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"


def delete_partial_files(download: Download, folder: Path) -> None:
    """Delete a file's partial downloads from all mirrors."""
    for part in folder.glob(f"{download.name}.*.part"):
        part.unlink()


def _download_from_mirror(
    url: str, part: Path, download: Download, watch: ProgressWatch, accept: Callable[[Path], None]
) -> None:
    """Download from one mirror and call ``accept``. If it refuses, start over if resumed, else raise MirrorError."""
    resumed = _get_partial_file_size(part) > 0
    _finish_partial_file(url, part, download, watch)
    try:
        accept(part)
    except ValueError as error:
        part.unlink()
        if not resumed:
            raise MirrorError(f"it sends a file that is not {download.name}: {error}") from None
        # The file may have changed since the first part was downloaded, so start again.
        _download_from_mirror(url, part, download, watch, accept)


def _finish_partial_file(url: str, part: Path, download: Download, watch: ProgressWatch) -> None:
    """Download the rest of a partial file, with a new connection after a break; raise MirrorError if that fails."""
    for attempt in range(1, ATTEMPTS + 1):
        before = _get_partial_file_size(part)
        try:
            _append_to_partial_file(url, part, download, watch)
        except (requests.RequestException, HTTPError) as error:
            if attempt == ATTEMPTS or _get_partial_file_size(part) <= before:
                raise MirrorError(_explain_network_error(error)) from None
        else:
            return


def _append_to_partial_file(url: str, part: Path, download: Download, watch: ProgressWatch) -> None:
    """Download the rest of a partial file, or all if the server cannot resume; raise MirrorError if it is too long."""
    done = _get_partial_file_size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as answer:
        if done and answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # the file is either complete or wrong, as its checksum will show
        answer.raise_for_status()
        if answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            mode = "ab"
        else:  # this server can send only complete files
            mode, done = "wb", 0
        length = answer.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        watch.begin_phase(f"Downloading {download.name} from {urlsplit(url).netloc}", total)
        with part.open(mode) as file:
            # Keep the bytes as sent: Requests would unpack a .gz that a server declares as an encoding.
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                done += len(chunk)
                if done > download.limit:
                    part.unlink()
                    raise MirrorError(f"it sends more than the {download.limit} bytes that {download.name} can have")
                file.write(chunk)
                watch.report_steps_done(done, _format_megabytes(done, total))


def _get_partial_file_size(part: Path) -> int:
    """Return the size of a partial file in bytes, or 0 if it does not exist."""
    return part.stat().st_size if part.exists() else 0


def _format_megabytes(done: int, total: int | None) -> str:
    """Format a download's progress in megabytes."""
    return f"{done / 1e6:.1f} MB" if total is None else f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"


def _explain_network_error(error: Exception) -> str:
    """Describe a network error in plain words."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"it answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted here"
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return "it does not answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy named in the environment does not answer"
    if "resolve" in str(error).lower() or "name resolution" in str(error).lower():
        return "its name cannot be resolved; is this machine online?"
    if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "it cannot be reached"
    return "the connection broke off"
