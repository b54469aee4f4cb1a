"""Build the workflows in a student's repository, which only call those in the released course.

`python -m course.workflows DIR` writes everything that lint reads, with callers for an example repository.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from grading.entry import run_and_get_exit_code
from grading.manifest.model import GraderRepository

WORKFLOWS_FOLDER = Path(".github", "workflows")
TEMPLATES = Path(__file__).with_name("templates") / "workflows"
COPIED_WORKFLOWS = ("grade.yml", "report.yml")
"""The workflows that are shipped unchanged, and that grade students' repositories."""
TEMPLATE_WORKFLOWS = ("autograde.yml", "autograde-forks.yml")
"""The workflows that are rendered from templates, because the manifest states which repository they call."""
SAMPLE_GRADER = GraderRepository(repository="example/tinytorch", ref="v1")


def build_release_workflows(root: Path, grader: GraderRepository) -> dict[Path, bytes]:
    """Build every workflow of a release, keyed by path."""
    # GitHub's expressions use the same braces as Jinja, and YAML is not HTML.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        variable_start_string="<<",
        variable_end_string=">>",
    )
    files = {WORKFLOWS_FOLDER / name: (root / WORKFLOWS_FOLDER / name).read_bytes() for name in COPIED_WORKFLOWS}
    for name in TEMPLATE_WORKFLOWS:
        text = environment.get_template(f"{name}.jinja").render(repository=grader.repository, ref=grader.ref)
        files[WORKFLOWS_FOLDER / name] = text.encode()
    return files


def main(arguments: list[str], root: Path) -> int:
    """Write the workflows of the course and a release, and linters' settings, to a folder. Return 2 for wrong usage."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("Usage: python -m course.workflows DIR\n")
        return 2
    target = Path(arguments[0])
    files = {path.relative_to(root): path.read_bytes() for path in sorted((root / ".github").rglob("*.y*ml"))}
    for path, data in (files | build_release_workflows(root, SAMPLE_GRADER)).items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(run_and_get_exit_code(lambda: main(sys.argv[1:], Path(__file__).resolve().parents[1])))
