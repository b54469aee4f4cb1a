"""`tito update`: a newer release into a student's repository; nothing is lost, and one command undoes it."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from grading import lock
from grading.errors import UsageError
from grading.files import write_atomically
from tito.console import console, make_own_folder, repository
from tito.identity import can_ask

if TYPE_CHECKING:  # slow to import
    from grading.manifest.model import Manifest
    from tito.releases import Release

UPDATES = "updates"
STATE = "update.json"


@dataclass(frozen=True)
class Change:
    """What becomes of one file, relative to the repository."""

    path: Path
    what: str
    """added, replaced, removed, merged, conflict, or kept beside: the student's version gets a name of its own."""
    data: bytes | None
    """What it will hold; None when it goes."""
    conflicts: tuple[int, ...] = ()
    """The lines at which conflicts begin."""


@dataclass(frozen=True)
class Plan:
    """What an update would do."""

    old: str
    new: str
    """The course's versions."""
    changes: tuple[Change, ...]
    tasks: tuple[str, ...]
    """Tasks that are new, with their titles."""


def update(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[RELEASE]", help="A folder, a zip archive or a git repository with the new release."),
    ] = None,
    branch: Annotated[str | None, typer.Option("--branch", metavar="NAME", help="Of a git repository.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put everything back as it was before the last update.")] = False,
) -> int:
    """Take a newer release of the course; what you wrote is merged with it, and --undo takes all of it back.

    \\b
    Examples:
      tito update ../tinytorch-new --dry-run
      tito update ../tinytorch-new
      tito update release.zip --yes
      tito update https://github.com/class/tinytorch --branch main
      tito update --undo
    """
    root, out = repository(), console()
    if undo:
        return _undo(root, out)
    from grading.manifest.load import load  # slow to import
    from tito.releases import open_release

    if not (root / lock.FILE).is_file():
        raise UsageError(f"{root} is not a released course: it has no {lock.FILE}, so there is nothing to update.")
    if source is None:
        grader = load(root).course.grader
        if grader is None:
            raise UsageError("Where is the new release? Name a folder, a zip archive or a git repository.")
        source, branch = f"https://github.com/{grader.repository}", branch or grader.ref
    with open_release(source, branch) as release:
        plan = make_plan(root, load(root), release)
    if not plan.changes:
        out.print(f"Your course is that of this release, {plan.new}: nothing to update.")
        return 0
    show_plan(out, plan)
    again = f"tito update {source}{f' --branch {branch}' if branch else ''} --yes"
    if dry_run or not (yes or can_ask(out)):
        out.print(Text.assemble("\nNothing was changed. To take it: ", (again, "bold")), soft_wrap=True)
        return 0
    _refuse_uncommitted(root, plan)
    if not yes and out.input("\nTake it? (y/n) ").strip().lower() not in ("y", "yes"):
        out.print("Nothing was changed.")
        return 0
    apply_plan(root, plan)
    return show_done(out, plan)


def make_plan(root: Path, manifest: Manifest, release: Release) -> Plan:
    """What the release would change in the repository at ``root``, whose manifest this is."""
    from tito.merging import merge

    old = _read_lock(root)
    if lock.BASE.as_posix() not in old["files"]:
        raise UsageError(
            f"Your release is older than `tito update`: it has no {lock.BASE}, which says what your files began as. "
            "Copy your files under modules/ into a fresh copy of the new release instead."
        )
    base = lock.read_base(root)
    changes: list[Change] = []
    released = old["student"] | old["files"] | {lock.FILE.as_posix(): lock.digest_of(root, lock.FILE.as_posix())}
    for path, data in (release.course | release.student).items():
        name, present = path.as_posix(), _read(root / path)
        mine = _decode(present)
        if present is None:
            changes.append(Change(path, "added", data))
        elif lock.digest(present) == lock.digest(data):
            continue
        elif lock.digest(present) == released.get(name):
            changes.append(Change(path, "replaced", data))
        elif path in release.course or name not in base or mine is None:
            changes.append(Change(path, "kept beside", data))
        elif (merged := merge(mine, base[name], data.decode())).text != mine:
            what = "conflict" if merged.conflicts else "merged"
            changes.append(Change(path, what, merged.text.encode(), merged.conflicts))
    for name in sorted(released):
        path, present = Path(name), _read(root / name)
        if present is None or path in release.course or path in release.student:
            continue
        # What is the student's own stays, even where the course no longer has a place for it.
        if name in old["files"] or lock.digest(present) == released[name]:
            changes.append(Change(path, "removed", None))
    known = {task.id for module in manifest.modules for task in module.tasks}
    tasks = [task for module in release.manifest.modules for task in module.tasks if task.id not in known]
    new = tuple(f"{task.id} {task.title}" for task in tasks)
    return Plan(manifest.course.version, release.manifest.course.version, tuple(changes), new)


def show_plan(out: Console, plan: Plan) -> None:
    """Every file that is the student's one by one, the course's own by their number."""
    out.print(Text(f"From course {plan.old} to {plan.new}", style="bold"))
    words = {
        "merged": "merged with what you wrote",
        "conflict": "changed by you and by the course in the same place: look at it afterwards",
        "kept beside": "replaced; your version is kept beside it",
    }
    for change in plan.changes:
        if change.what in words:
            out.print(f"  {change.path.as_posix()}: {words[change.what]}", soft_wrap=True)
    for what in ("added", "replaced", "removed"):
        paths = [change.path.as_posix() for change in plan.changes if change.what == what]
        if paths:
            shown = ", ".join(paths[:4]) + (", …" if paths[4:] else "")
            out.print(f"  {len(paths)} {'file' if len(paths) == 1 else 'files'} {what}: {shown}", soft_wrap=True)
    if plan.tasks:
        out.print(Text("New tasks", style="bold"))
        for task in plan.tasks:
            out.print(f"  Task {task}")


def show_done(out: Console, plan: Plan) -> int:
    """What is left to do; 1 where conflicts are, else 0."""
    out.print(Text(f"\nThis is course {plan.new} now.", style="bold green"))
    conflicts = [change for change in plan.changes if change.conflicts]
    for change in conflicts:
        lines = ", ".join(map(str, change.conflicts))
        out.print(Text(f"Conflict: {change.path.as_posix()}, line {lines}", style="yellow"), soft_wrap=True)
    if conflicts:
        out.print("Between <<<<<<< and ======= is what you wrote, up to >>>>>>> the new release: keep what is right.")
    if any(change.path.name == "pyproject.toml" for change in plan.changes):
        out.print(Text.assemble("Install it again: ", ("pip install -e .", "bold")))
    out.print(Text.assemble("Take all of it back: ", ("tito update --undo", "bold")))
    return 1 if conflicts else 0


def apply_plan(root: Path, plan: Plan) -> None:
    """Change the files; before, copy each that changes to where `--undo` finds it. On any error nothing is changed."""
    from tito.reset import keep_copy

    now = datetime.now()
    folder = make_own_folder(root) / UPDATES / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    files: dict[str, dict] = {}
    added: list[Path] = []
    folder.mkdir(parents=True)
    for number, change in enumerate(plan.changes):
        present = _read(root / change.path)
        before = None if present is None else f"{number}.before"
        if before is not None and present is not None:
            (folder / before).write_bytes(present)
        after = None if change.data is None else lock.digest(change.data)
        files[change.path.as_posix()] = {"before": before, "after": after}
    try:
        for change in plan.changes:
            if change.what == "kept beside":
                added.append(keep_copy(root, change.path, now))
                files[added[-1].as_posix()] = {"before": None, "after": lock.digest_of(root, added[-1].as_posix())}
        write_atomically(folder / STATE, json.dumps({"from": plan.old, "to": plan.new, "files": files}).encode())
        for change in plan.changes:
            _write(root, change.path, change.data)
    except BaseException:
        for name, said in files.items():
            _write(root, Path(name), None if said["before"] is None else (folder / said["before"]).read_bytes())
        shutil.rmtree(folder)
        raise


def _undo(root: Path, out: Console) -> int:
    """Put back what the last update changed; what was written since is kept beside."""
    from tito.reset import keep_copy

    states = sorted((root / ".tito" / UPDATES).glob(f"*/{STATE}"))
    if not states:
        raise UsageError("There is no update to take back here.")
    try:
        folder, state = states[-1].parent, json.loads(states[-1].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{states[-1]} cannot be read. What was there before is in that folder.") from None
    kept = []
    for name, said in state["files"].items():
        present = _read(root / name)
        if present is not None and lock.digest(present) != said["after"]:
            kept.append((name, keep_copy(root, Path(name), datetime.now())))
    for name, said in state["files"].items():
        _write(root, Path(name), None if said["before"] is None else (folder / said["before"]).read_bytes())
    shutil.rmtree(folder)
    out.print(Text(f"Everything is as it was before the update: course {state['from']}.", style="bold"))
    for name, copy in kept:
        out.print(f"  {name} had changed since; that text is in {copy.as_posix()}", soft_wrap=True)
    if "pyproject.toml" in state["files"]:
        out.print(Text.assemble("Install it again: ", ("pip install -e .", "bold")))
    return 0


def _refuse_uncommitted(root: Path, plan: Plan) -> None:
    """UsageError where git knows of uncommitted work in a file that would be changed."""
    git = shutil.which("git")
    if git is None:
        return
    command = [git, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)  # noqa: S603
    prefix = subprocess.run([git, "rev-parse", "--show-prefix"], cwd=root, capture_output=True, check=False)  # noqa: S603
    if done.returncode or prefix.returncode:
        return  # not a git repository: then `--undo` is what there is
    start = prefix.stdout.decode().strip()
    changed = {entry[3:].removeprefix(start) for entry in done.stdout.decode("utf-8", "replace").split("\0") if entry}
    mixed = sorted(changed & {change.path.as_posix() for change in plan.changes})
    if mixed:
        shown = ", ".join(mixed[:3]) + (", …" if mixed[3:] else "")
        raise UsageError(
            f"There is uncommitted work in files that the update changes: {shown}. Nothing was changed. "
            'Commit it first: git commit -am "Before the update"'
        )


def _read_lock(root: Path) -> dict[str, dict[str, str]]:
    try:
        said = json.loads((root / lock.FILE).read_bytes())
        return {key: dict(said[key]) for key in ("files", "student")}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise UsageError(f"{lock.FILE} cannot be read. Restore it: git checkout -- {lock.FILE}") from None


def _read(path: Path) -> bytes | None:
    """The file's bytes; None where there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _decode(data: bytes | None) -> str | None:
    """The text, or None where it is not UTF-8."""
    try:
        return None if data is None else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _write(root: Path, path: Path, data: bytes | None) -> None:
    """Write the file, or remove it and the folders that are empty then."""
    if data is not None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(root / path, data)
        return
    (root / path).unlink(missing_ok=True)
    for folder in path.parents[:-1]:
        if (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()
