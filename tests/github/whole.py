"""The whole copy of GitHub: the local server behind the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grading.errors import GraderError
from tests.github import description, prism
from tests.github.local import Hub, serve


@contextmanager
def copy_of_github(folder: Path) -> Iterator[Hub]:
    """The copy, at its `public_url`, while the block lasts; GraderError, as a sentence, where it cannot be."""
    missing = prism.install()
    if missing:
        raise GraderError(missing)
    described = description.described(prism.HERE)
    with serve(description.examples(described)) as hub, prism.proxied(hub.url, described, folder) as url:
        hub.public_url = url
        yield hub
