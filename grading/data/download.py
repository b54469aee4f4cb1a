"""Downloading one file: mirrors in turn, going on where an earlier attempt stopped.

What has arrived lies in `NAME.<mirror>.part` until it is whole: the same file is packed differently on each mirror, so
each has a part of its own. Requests brings the certificates, proxies and timeouts. Pooch, which would also check and
place files, neither resumes a download nor knows a checksum of unpacked bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from grading.data.sources import Download
from grading.render.progress import Watch

TIMEOUTS = (10, 30)
"""Seconds to connect, and without a byte."""
ATTEMPTS = 5
"""How often one mirror may break off, as long as each attempt brings something."""
CHUNK = 1 << 16


class MirrorError(Exception):
    """A mirror did not give the file; the message says why, for the user."""


def download(what: Download, folder: Path, watch: Watch, accept: Callable[[Path], None]) -> None:
    """Get a file from the first mirror that has it, and give its path to ``accept``, which raises ValueError to refuse.

    Raises MirrorError with every mirror's reason. Refused and accepted parts are deleted; one that was interrupted
    stays, to be gone on with. Errors of writing (OSError) are the caller's.
    """
    reasons = []
    for url in what.urls:
        part = part_of(what, folder, url)
        try:
            _from_mirror(url, part, what, watch, accept)
        except MirrorError as error:
            reasons.append(f"{urlsplit(url).netloc}: {error}.")
        else:
            discard_parts(what, folder)
            return
    raise MirrorError("\n".join(reasons))


def part_of(what: Download, folder: Path, url: str) -> Path:
    """Where that arrives which one mirror sends."""
    return folder / f"{what.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"


def discard_parts(what: Download, folder: Path) -> None:
    """Delete what has arrived of a file, from whichever mirror."""
    for part in folder.glob(f"{what.name}.*.part"):
        part.unlink()


def _from_mirror(url: str, part: Path, what: Download, watch: Watch, accept: Callable[[Path], None]) -> None:
    resumed = _size(part) > 0
    _all_of(url, part, what, watch)
    try:
        accept(part)
    except ValueError as error:
        part.unlink()
        if not resumed:
            raise MirrorError(f"what it sends is not {what.name}: {error}") from None
        # The file may have changed between the two halves: once more, from the beginning.
        _from_mirror(url, part, what, watch, accept)


def _all_of(url: str, part: Path, what: Download, watch: Watch) -> None:
    """Append to the part what is missing, over as many connections as it takes."""
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(part)
        try:
            _append(url, part, what, watch)
        except (requests.RequestException, HTTPError) as error:
            if attempt == ATTEMPTS or _size(part) <= before:
                raise MirrorError(_reason(error)) from None
        else:
            return


def _append(url: str, part: Path, what: Download, watch: Watch) -> None:
    done = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as answer:
        if done and answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing, or the part is wrong: its checksum will tell
        answer.raise_for_status()
        if answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            mode = "ab"
        else:  # this server sends whole files only
            mode, done = "wb", 0
        length = answer.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        watch.phase(f"Downloading {what.name} from {urlsplit(url).netloc}", total)
        with part.open(mode) as file:
            # The bytes as they are sent: Requests would unpack a .gz that a server calls an encoding.
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                done += len(chunk)
                if done > what.limit:
                    part.unlink()
                    raise MirrorError(f"it sends more than the {what.limit} bytes that {what.name} can have")
                file.write(chunk)
                watch.advance(done, _megabytes(done, total))


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _megabytes(done: int, total: int | None) -> str:
    return f"{done / 1e6:.1f} MB" if total is None else f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"


def _reason(error: Exception) -> str:
    """What a network error comes down to."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"it answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted here"
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return "it does not answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy named in the environment does not answer"
    if "resolve" in str(error).lower() or "name resolution" in str(error).lower():
        return "its name cannot be looked up, as without a network"
    if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "it cannot be reached"
    return "the connection broke off"
