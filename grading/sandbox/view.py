"""Determine which files of this machine a worker may read: only Python, its standard library and some packages."""

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
"""The packages that every worker imports."""
LOADER_CACHE = Path("/etc/ld.so.cache")
LIBRARY = re.compile(r"(?:=> |^\s*)(/.*) \(0x[0-9a-f]+\)$", re.MULTILINE)
"""A pattern that matches a line of the loader's output: a library's name, its path, and its address."""


@dataclass(frozen=True)
class FileView:
    """The paths that are shown, each with everything below it, and the paths that are covered.

    The deepest matching path decides.
    """

    python: Path
    packages: tuple[Path, ...]
    """The packages from outside the standard library, and the folders of their bundled libraries."""
    shown: frozenset[Path]
    covered: frozenset[Path]
    """The covered paths. Each is below a path that is shown."""

    def list_paths_by_depth(self) -> list[tuple[Path, bool]]:
        """List pairs of a path and whether it is shown, topmost first."""
        both = [*((path, True) for path in self.shown), *((path, False) for path in self.covered)]
        return sorted(both, key=lambda rule: (len(rule[0].parts), rule[0]))

    @functools.cached_property
    def readable(self) -> tuple[tuple[Path, bool], ...]:
        """Pairs of a resolved, uncovered path and True if all of it is readable, or False if it may only be listed.

        A folder that contains a covered path is replaced by its entries, and may itself be listed.
        """
        covered = {path.resolve() for path in self.covered}

        def list_uncovered_paths(path: Path) -> Iterator[tuple[Path, bool]]:
            """Yield each uncovered path in a folder, and whether it is readable."""
            if path in covered or path.is_symlink():
                return
            whole = not any(other.is_relative_to(path) for other in covered)
            yield path, whole
            if not whole:
                for entry in path.iterdir():
                    yield from list_uncovered_paths(entry)

        return tuple(
            rule for path in sorted({path.resolve() for path in self.shown}) for rule in list_uncovered_paths(path)
        )


@functools.cache
def make_worker_file_view(python: Path, names: tuple[str, ...], hidden: frozenset[Path]) -> FileView:
    """Make the view of a worker that imports these packages and sees nothing of the ``hidden`` folders.

    Raise GraderError if a package is not installed.
    """
    places = {"platbase": sys.base_exec_prefix}  # otherwise the virtual environment's
    library = {Path(sysconfig.get_path(name, vars=places)) for name in ("stdlib", "platstdlib")}
    library |= {folder.resolve() for folder in library}
    packages = tuple(path for name in names for path in _find_package_files(name))
    shown = {python, *library, *packages, LOADER_CACHE}
    compiled = [folder / "lib-dynload" for folder in library]
    shown |= {path for path in find_shared_libraries(python, [*compiled, *packages]) if not _is_within(path, shown)}
    shown = {path for path in shown if path.exists()}
    unseen = {path.resolve() for path in hidden} | {part for folder in library for part in folder.glob("*-packages")}
    covered = {
        path / below.relative_to(path.resolve())
        for path in shown
        for below in unseen
        if below != path.resolve() and below.is_relative_to(path.resolve())
    }
    return FileView(python, packages, frozenset(shown), frozenset(covered))


def find_real_interpreter() -> Path:
    """Find the real Python interpreter, since no worker sees a virtual environment's folder."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def list_data_folders() -> frozenset[Path]:
    """Return the course's cache folder and any TINYTORCH_DATA folder, where a worker could find test labels."""
    named = os.environ.get(files.VARIABLE)
    return frozenset({files.get_cache_folder().parent, *([Path(named).expanduser()] if named else [])})


def find_shared_libraries(python: Path, folders: Iterable[Path]) -> set[Path]:
    """Find the shared libraries that Python and compiled modules need, or all in /lib, /usr/lib and /usr/local/lib.

    The system's loader lists them. In trace mode, it prints what it would load for Python with these modules preloaded.
    If it prints nothing, everything in these folders is returned.
    """
    found = {path for folder in folders if folder.is_dir() for path in _list_shared_libraries_in(python, folder)}
    # Only glibc's loader prints such a list. For any other loader, use every library in its search folders.
    places = [Path(name) for name in ("/lib", "/usr/lib", "/usr/local/lib")]
    everything = (path for place in places for pattern in ("*.so*", "*/*.so*") for path in place.glob(pattern))
    return found or {path for path in everything if path.is_file()}


@functools.cache
def _list_shared_libraries_in(python: Path, folder: Path) -> tuple[Path, ...]:
    """Ask glibc's loader what Python and the compiled modules below a folder need; other loaders list nothing."""
    # Names are relative to the folder, because the loader splits its list of names at spaces.
    modules = [f"./{path.relative_to(folder)}" for path in sorted(folder.rglob("*.so")) if path.name[:4] != "_tki"]
    # libgcc_s is loaded only when the first thread exits, so no module lists it.
    order = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_PRELOAD": " ".join(["libgcc_s.so.1", *modules])}
    command = [str(python), "-I", "-S", "-c", ""]
    said = subprocess.run(command, cwd=folder, env=os.environ | order, capture_output=True, timeout=60, check=False)  # noqa: S603
    return tuple(Path(os.path.normpath(path)) for path in LIBRARY.findall(said.stdout.decode(errors="replace")))


def _find_package_files(name: str) -> Iterator[Path]:
    """Yield a package's folder or file, and its bundled libraries' folder. Raise GraderError if it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise GraderError(f"{name} is not installed, though this environment should have it. To check: tito doctor")
    origin = Path(spec.origin).resolve()
    if spec.submodule_search_locations is None:
        yield origin
        return
    yield origin.parent
    if (beside := origin.parent.with_name(f"{origin.parent.name}.libs")).is_dir():
        yield beside


def _is_within(path: Path, folders: Iterable[Path]) -> bool:
    """Return whether a path is one of these folders or inside one of them."""
    return any(path.is_relative_to(folder) for folder in folders)
