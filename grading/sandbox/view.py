"""What of this machine's files a worker may read: Python itself, its standard library, some packages; and no more."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grading.data import files
from grading.errors import GraderError

PACKAGES = ("numpy", "msgpack")
"""What every worker imports."""
LOADER_CACHE = Path("/etc/ld.so.cache")
LIBRARY = re.compile(r"(?:=> |^\s*)(/.*) \(0x[0-9a-f]+\)$", re.MULTILINE)
"""A line of what the loader prints: a library's name, where it found it, and where it would put it."""


@dataclass(frozen=True)
class View:
    """Paths that are shown with everything below them, or covered; of two that fit, the deeper one decides."""

    python: Path
    packages: tuple[Path, ...]
    """What is imported from elsewhere than the standard library: packages, and the libraries each brings."""
    shown: frozenset[Path]
    covered: frozenset[Path]
    """Each lies below one that is shown."""

    def by_depth(self) -> list[tuple[Path, bool]]:
        """Each path and whether it is shown, those above first."""
        both = [*((path, True) for path in self.shown), *((path, False) for path in self.covered)]
        return sorted(both, key=lambda rule: (len(rule[0].parts), rule[0]))

    @functools.cached_property
    def readable(self) -> tuple[tuple[Path, bool], ...]:
        """The same for a fence that can show and not cover: real paths, and whether all below it or its names alone.

        A folder above something that is covered is given by its entries, and may itself be listed.
        """
        covered = {path.resolve() for path in self.covered}

        def uncovered(path: Path) -> Iterator[tuple[Path, bool]]:
            if path in covered or path.is_symlink():
                return
            whole = not any(other.is_relative_to(path) for other in covered)
            yield path, whole
            if not whole:
                for entry in path.iterdir():
                    yield from uncovered(entry)

        return tuple(rule for path in sorted({path.resolve() for path in self.shown}) for rule in uncovered(path))


@functools.cache
def view(python: Path, names: tuple[str, ...], hidden: frozenset[Path]) -> View:
    """The view of a worker that imports these packages, and sees nothing of some folders wherever they lie.

    GraderError when a package is not installed.
    """
    places = {"platbase": sys.base_exec_prefix}  # an environment's own otherwise
    library = {Path(sysconfig.get_path(name, vars=places)) for name in ("stdlib", "platstdlib")}
    library |= {folder.resolve() for folder in library}
    packages = tuple(path for name in names for path in _files_of(name))
    shown = {python, *library, *packages, LOADER_CACHE}
    compiled = [folder / "lib-dynload" for folder in library]
    shown |= {path for path in libraries(python, [*compiled, *packages]) if not _within(path, shown)}
    shown = {path for path in shown if path.exists()}
    unseen = {path.resolve() for path in hidden} | {part for folder in library for part in folder.glob("*-packages")}
    covered = {
        path / below.relative_to(path.resolve())
        for path in shown
        for below in unseen
        if below != path.resolve() and below.is_relative_to(path.resolve())
    }
    return View(python, packages, frozenset(shown), frozenset(covered))


def interpreter() -> Path:
    """Python itself, not an environment's copy of it: that one lies in a folder that no worker sees."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def folders_of_data() -> frozenset[Path]:
    """Where data sets lie, and kept figures: neither test labels nor measurements may be found there."""
    named = os.environ.get(files.VARIABLE)
    return frozenset({files.cache().parent, *([Path(named).expanduser()] if named else [])})


def libraries(python: Path, folders: Iterable[Path]) -> set[Path]:
    """The shared libraries that Python and the compiled modules below some folders need, as this machine's loader says.

    Asked to trace instead of to run, it lists what it would load for this program with the modules preloaded.
    """
    found = {path for folder in folders if folder.is_dir() for path in _list_libraries(python, folder)}
    # Another loader than glibc's knows no such list: then every library where such a loader looks.
    places = [Path(name) for name in ("/lib", "/usr/lib", "/usr/local/lib")]
    everything = (path for place in places for pattern in ("*.so*", "*/*.so*") for path in place.glob(pattern))
    return found or {path for path in everything if path.is_file()}


@functools.cache
def _list_libraries(python: Path, folder: Path) -> tuple[Path, ...]:
    # By names relative to the folder: the loader takes a blank in a name for the end of it.
    modules = [f"./{path.relative_to(folder)}" for path in sorted(folder.rglob("*.so")) if path.name[:4] != "_tki"]
    # libgcc_s is loaded when the first thread ends, and nobody says so beforehand.
    order = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_PRELOAD": " ".join(["libgcc_s.so.1", *modules])}
    command = [str(python), "-I", "-S", "-c", ""]
    said = subprocess.run(command, cwd=folder, env=os.environ | order, capture_output=True, timeout=60, check=False)  # noqa: S603
    return tuple(Path(os.path.normpath(path)) for path in LIBRARY.findall(said.stdout.decode(errors="replace")))


def _files_of(name: str) -> Iterator[Path]:
    """A package's folder, or its one file, and the folder of the libraries that it brings."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise GraderError(f"{name} is not installed; the session's environment should have it: tito doctor")
    origin = Path(spec.origin).resolve()
    if spec.submodule_search_locations is None:
        yield origin
        return
    yield origin.parent
    if (beside := origin.parent.with_name(f"{origin.parent.name}.libs")).is_dir():
        yield beside


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
