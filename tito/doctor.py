"""`tito doctor`: is everything here that the course needs, and how to fix what is not."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.text import Text

from grading.render.text import one_line, write_count
from grading.shadow import REMOVE_SHADOW, find_shadow
from tito.console import console, item, print_json, repository

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: fine, wrong (`ok` False), or worth knowing (None)."""

    name: str
    ok: bool | None
    found: str
    mend: str | None = None


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False) -> int:
    """Check that everything here is as the course needs it, and say how to fix what is not.

    \b
    Examples:
      tito doctor
      tito doctor --json
    """
    findings = list(examine(repository()))
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        show(findings, "Everything the course needs is here.")
    return 3 if any(f.ok is False for f in findings) else 0


def examine(root: Path) -> Iterator[Finding]:
    """Every check of a student's repository in order."""
    checks = (python, packages, manifest, editable_install, sandbox, worker, course_files, cache_folder, records)
    return each(checks, root)


def each(checks: Iterable[Callable[[T], Finding]], about: T) -> Iterator[Finding]:
    """Every check in order; one that breaks is a finding, too."""
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            yield check(about)
        except Exception as error:
            found = f"could not be checked: {type(error).__name__}: {error}"
            yield Finding(
                name, False, found, "pip install -e . and look again; if it stays, show this to your instructor."
            )


def python(_root: Path) -> Finding:
    """Python 3.11 or later."""
    here = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return Finding(
        "python", ok, f"Python {here}", None if ok else "Install Python 3.11 or later: https://www.python.org"
    )


def packages(_root: Path) -> Finding:
    """What pyproject.toml names is installed."""
    try:
        needed = metadata.requires("tinytorch-course") or []
    except metadata.PackageNotFoundError:
        return Finding("packages", False, "the course is not installed", "pip install -e .")
    missing = []
    for requirement in needed:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)
        if name and "extra ==" not in requirement:
            try:
                metadata.version(name[0])
            except metadata.PackageNotFoundError:
                missing.append(name[0])
    if missing:
        return Finding("packages", False, f"not installed: {', '.join(missing)}", "pip install -e .")
    return Finding(
        "packages", True, f"NumPy {metadata.version('numpy')}, pytest {metadata.version('pytest')} and the others"
    )


def manifest(root: Path) -> Finding:
    """The manifest can be read."""
    from grading.manifest.load import ManifestError, load  # each check imports what it needs

    try:
        course = load(root)
    except ManifestError as error:
        return Finding("manifest", False, str(error), "git checkout -- milestones.yaml")
    return Finding("manifest", True, f"{course.course.name} {course.course.version}, {len(course.modules)} modules")


def editable_install(root: Path) -> Finding:
    """`import tinytorch` finds this repository's files and no others."""
    if (shadow := find_shadow()) is not None:
        return Finding("editable install", False, f"a package of the same name hides yours: {shadow}", REMOVE_SHADOW)
    mend = f"In {root}: pip install -e ."
    spec = importlib.util.find_spec("tinytorch")
    if spec is None or not spec.submodule_search_locations:
        return Finding("editable install", False, "tinytorch cannot be imported", mend)
    places = [Path(place).resolve() for place in spec.submodule_search_locations]
    elsewhere = [place for place in places if not place.is_relative_to(root)]
    if elsewhere:
        return Finding("editable install", False, f"tinytorch is imported from elsewhere, too: {elsewhere[0]}", mend)
    missing = sorted(set((root / "modules").resolve().glob("*/tinytorch")) - set(places))
    if missing:
        return Finding("editable install", False, f"not on the path: {missing[0].relative_to(root)}", mend)
    return Finding("editable install", True, f"tinytorch is the {len(places)} module folders of this repository")


def sandbox(_root: Path) -> Finding:
    """Bubblewrap or Landlock is there and works."""
    from grading.sandbox import bubblewrap, launch

    if not sys.platform.startswith("linux"):
        return Finding(
            "sandbox", None, "no bubblewrap on this system: code runs in a process with limits, which is enough here"
        )
    reason = bubblewrap.works()
    if reason is None:
        return Finding("sandbox", True, "bubblewrap works")
    without = launch.landlock_works()
    if without is None:
        return Finding("sandbox", True, f"Landlock works, which official grading accepts as well ({reason})")
    return Finding(
        "sandbox",
        None,
        f"{reason}; {without}. Your code runs in a process with limits, which is enough at your desk.",
    )


def worker(_root: Path) -> Finding:
    """The process that runs student code starts, with the grader's own versions, and answers."""
    from grading.errors import GraderError
    from grading.remote import WorkerFailureError
    from grading.sandbox.launch import ADVICE, choose
    from grading.sandbox.view import interpreter
    from grading.workers import probe_worker

    fence = choose(official=False)
    try:
        probe = probe_worker(fence)
    except (GraderError, WorkerFailureError) as error:
        mend = (
            f"A worker gets none of your shell's variables. This must work: env -i {interpreter()} -I -c 'print(1)'. "
            "If it does not, make the course's environment with another Python, such as one of uv or python.org."
        )
        return Finding("worker", False, str(error).removesuffix(ADVICE).strip(), mend)
    versions = f"Python {probe.python}, NumPy {probe.numpy}"
    found = f"starts in {fence} with {versions}; a round trip takes {1000 * probe.round_trip_seconds:.2f} ms"
    return Finding("worker", True, found)


def course_files(root: Path) -> Finding:
    """Tests, grader and manifest are as released."""
    from grading.lock import changed_course_files

    changed = changed_course_files(root)
    if not changed:
        return Finding("course files", True, "as released")
    names = ", ".join(changed[:5]) + (", …" if len(changed) > 5 else "")
    return Finding("course files", False, f"changed: {names}", f"git checkout -- {' '.join(changed[:5])}")


def cache_folder(_root: Path) -> Finding:
    """Results can be kept."""
    from grading import cache

    if cache.writable():
        return Finding("cache folder", True, f"{cache.folder()} can be written")
    return Finding(
        "cache folder", False, f"{cache.folder()} cannot be written", f"Make {cache.folder()} writable for you."
    )


def records(root: Path) -> Finding:
    """The progress records can be read and added to."""
    from grading import progress

    history = progress.read(root)
    if history.damaged:
        one = history.damaged[0]
        found = f"{len(history.damaged)} damaged, the first: {one.path.as_posix()}: {one.reason}"
        mend = "It is set aside and counts no more. If Git has an earlier version, bring that back into progress/."
        return Finding("progress records", False, found, mend)
    return Finding("progress records", True, f"{write_count(len(history.events), 'record')}, all readable")


def show(findings: list[Finding], all_right: str) -> None:
    """Print findings, the repair below each that needs one, and in the end how many do."""
    out = console()
    plain = out.options.ascii_only
    for finding in findings:
        sign, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "cyan")}[finding.ok]
        if plain:
            sign = {True: "ok", False: "NO", None: "--"}[finding.ok]
        text = Text.assemble((finding.name, "bold"), f": {one_line(finding.found, 600)}")
        if finding.mend:
            text.append("\nfix it: ").append(one_line(finding.mend, 600), style="bold")
        out.print(item(sign, text, style=style, indent=0))
    wrong = sum(f.ok is False for f in findings)
    out.print(f"\n{wrong} to fix." if wrong else f"\n{all_right}")
