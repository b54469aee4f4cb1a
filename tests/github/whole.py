"""The complete fake GitHub: the local server behind the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grading.errors import GraderError
from tests.github import description, prism
from tests.github.local import Hub, serve_hub


@contextmanager
def start_fake_github(folder: Path) -> Iterator[Hub]:
    """Run the fake GitHub at its `public_url`. Raise GraderError with the reason if it cannot run."""
    missing = prism.install_prism()
    if missing:
        raise GraderError(missing)
    described = description.load_description(prism.HERE)
    with serve_hub(description.list_examples(described)) as hub, prism.start_proxy(hub.url, described, folder) as url:
        hub.public_url = url
        yield hub
