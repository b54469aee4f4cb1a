"""The complete fake GitHub: the local server behind the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grading.errors import GraderError
from tests.github import description, prism
from tests.github.local import Hub, serve


@contextmanager
def copy_of_github(folder: Path) -> Iterator[Hub]:
    """Run the fake GitHub at its `public_url`; GraderError says why it cannot run."""
    missing = prism.install()
    if missing:
        raise GraderError(missing)
    described = description.described(prism.HERE)
    with serve(description.examples(described)) as hub, prism.proxied(hub.url, described, folder) as url:
        hub.public_url = url
        yield hub
