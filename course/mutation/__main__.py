"""`python -m course.mutation [module …]`: mutate the solutions, and count how many mutants the tests notice."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from course.mutation.mutant_excuses import PAGE, MutantChange, format_excuse_row, parse_excuse_page
from course.mutation.mutant_trial import TrialError, judge_mutants
from course.mutation.mutants import Mutant, make_mutants
from course.skeleton import SkeletonError, find_gaps
from grading.entry import run_and_get_exit_code
from grading.errors import UsageError
from grading.manifest.loader import ManifestError, load_manifest
from grading.manifest.model import BuildStatus, Manifest, Module
from grading.manifest.problems import suggest_name
from grading.render.progress_watch import ProgressWatch, create_watch

ROOT = Path(__file__).resolve().parents[2]
SHARE = 0.9
"""The share of a module's mutants that must be killed."""


@dataclass(frozen=True)
class MutationTally:
    """The number of one file's mutants that were killed, and the mutants that survived."""

    module: str
    path: Path
    mutants: int
    survivors: tuple[Mutant, ...]

    @property
    def killed(self) -> int:
        """The number of mutants that the tests noticed."""
        return self.mutants - len(self.survivors)

    @property
    def share(self) -> float:
        """The share of killed mutants, or 1 if there are no mutants. Excused survivors count as alive."""
        return self.killed / self.mutants if self.mutants else 1.0


def tally_module_mutants(root: Path, manifest: Manifest, module: Module, watch: ProgressWatch) -> MutationTally:
    """Mutate a module's solution in copies of the course, and run the tests of module and milestone on each mutant."""
    source = (root / module.code).read_text(encoding="utf-8")
    watch.begin_phase(f"Mutating {module.id}", None)
    changes = make_mutants(source, find_gaps(source, manifest, module.code), module.code)
    built = [m for m in manifest.modules if m.status is BuildStatus.BUILT]
    tests = [module.tests]
    tests += [
        m.integration_tests for m in manifest.milestones if m.trigger == module.id and m.status is BuildStatus.BUILT
    ]
    watch.begin_phase(f"Testing {len(changes)} mutants of {module.id}", len(changes))
    alive: list[Mutant] = []
    for done, (mutant, killed) in enumerate(judge_mutants(changes, root, [m.folder for m in built], tests), start=1):
        alive += [] if killed else [mutant]
        watch.report_steps_done(done, f"{len(alive)} alive")
    return MutationTally(module.id, module.code, len(changes), tuple(sorted(alive, key=lambda m: (m.line, m.after))))


def list_mutation_problems(results: Sequence[MutationTally], excuses: dict[MutantChange, str]) -> list[str]:
    """List the problems with the tests or with the page of excused mutants. The list is empty if there are none."""
    found = []
    for result in results:
        if result.share < SHARE:
            found.append(f"{result.module}: {result.share:.1%} killed, but {SHARE:.0%} are required.")
        alive = {MutantChange.from_mutant(mutant) for mutant in result.survivors}
        found += [
            f"{change.path}: a survivor has no listed reason. Add a test that notices it, or add a row to {PAGE}:\n"
            f"    {format_excuse_row(change, 'why it changes nothing that a docstring promises')}"
            for change in sorted(alive - set(excuses))
        ]
        listed = {change for change in excuses if change.path == result.path.as_posix()}
        found += [
            f"{PAGE}: `{change.after}` is excused, but does not survive. Delete its row."
            for change in sorted(listed - alive)
        ]
    return found


def print_mutation_report(results: Sequence[MutationTally], excuses: dict[MutantChange, str], console: Console) -> None:
    """Print each module's numbers of mutants, then every survivor with its change and its listed excuse, if any."""
    table = Table("module", "mutants", "killed", "survived", "share")
    for r in results:
        table.add_row(r.module, str(r.mutants), str(r.killed), str(len(r.survivors)), f"{r.share:.1%}")
    console.print(table)
    for mutant in (mutant for result in results for mutant in result.survivors):
        console.print(Text(f"{mutant.path}:{mutant.line} {mutant.operator}", style="bold"), soft_wrap=True)
        console.print(Text(f"  - {mutant.before}", style="red"), soft_wrap=True)
        console.print(Text(f"  + {mutant.after}", style="green"), soft_wrap=True)
        console.print(Text(f"    {excuses.get(MutantChange.from_mutant(mutant), 'no reason listed')}"), soft_wrap=True)


def main(module_names: Sequence[str], root: Path = ROOT) -> int:
    """Mutate the named modules, or all, and print a report. Return 0, 1 for problems, or 2 for a bad name or course."""
    console = Console(highlight=False)
    try:
        manifest = load_manifest(root)
        excused = parse_excuse_page((root / PAGE).read_text(encoding="utf-8"))
        known = {module.id: module for module in manifest.modules if module.status is BuildStatus.BUILT}
        if unknown := [name for name in module_names if name not in known]:
            raise UsageError(f"There is no built module {unknown[0]}. {suggest_name(unknown[0], known)}")
        with create_watch(console) as watch:
            results = [
                tally_module_mutants(root, manifest, known[name], watch)
                for name in known
                if name in module_names or not module_names
            ]
    except (ManifestError, SkeletonError, UsageError) as error:
        console.print(Text(str(error)))
        return 2
    except TrialError as error:
        console.print(Text(str(error)))
        return 1
    print_mutation_report(results, excused, console)
    wrong = list_mutation_problems(results, excused)
    for complaint in wrong:
        console.print(Text(complaint), soft_wrap=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run_and_get_exit_code(lambda: main(sys.argv[1:])))
