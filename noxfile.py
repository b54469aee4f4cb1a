# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2025.5.1", "pydantic>=2.9", "pyyaml>=6.0.2"]
# ///
"""Checks in clean environments. The sessions `milestone-N` and `module-NN_name` are generated from milestones.yaml.

Arguments after `--` are passed on: nox -s milestone-1 -- --seed 1234
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from grading.entry import explain_unsupported_platform, replace_unprintable_characters  # noqa: E402
from grading.manifest.loader import ManifestError, load_manifest  # noqa: E402
from grading.manifest.model import BuildStatus, Milestone, Module  # noqa: E402

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = []

replace_unprintable_characters()
if (reason := explain_unsupported_platform()) is not None:
    print(reason, file=sys.stderr)
    sys.exit(3)
try:
    MANIFEST = load_manifest(ROOT)
except ManifestError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
DEPENDENCIES = [d for d in PROJECT["project"]["dependencies"] if not d.startswith("nox")]


def list_constraint_options(session: nox.Session) -> tuple[str, ...]:
    """Return the installation options that pin every package to a tested version, or none if TINYTORCH_NEWEST is set.

    A release contains `constraints.txt`; the course writes one, generated from its `uv.lock`, to nox's cache.
    """
    if os.environ.get("TINYTORCH_NEWEST"):
        return ()
    file = ROOT / "constraints.txt"
    if not file.exists():
        from course.constraints import format_constraints
        from grading.files import write_atomically

        file = session.cache_dir / "constraints.txt"
        write_atomically(file, format_constraints(ROOT).encode())
    return ("--constraint", str(file))


def install_packages(session: nox.Session, *packages: str, compiled: bool = True) -> None:
    """Install these packages and our dependencies, at the locked or else at other versions; exit with 3 if both fail.

    A message on standard error says which of them failed. Files are compiled at installation, which uv does not do by
    itself, unless UV_COMPILE_BYTECODE is 0. Otherwise every worker would compile NumPy again.
    """
    wanted = os.environ.get("UV_COMPILE_BYTECODE", "1") if compiled else "0"
    for options in dict.fromkeys((list_constraint_options(session), ())):
        try:
            session.install("--quiet", *options, *DEPENDENCIES, *packages, env={"UV_COMPILE_BYTECODE": wanted})
            return
        except nox.command.CommandFailed:  # nox would exit with 1, which means “not yet”
            if options:
                print("The locked versions could not be installed. Trying other versions.", file=sys.stderr)
    print("The packages could not be installed. This says nothing about your code.", file=sys.stderr)
    sys.exit(3)


def run_own_module(session: nox.Session, module: str, *arguments: str) -> None:
    """Run one of our modules with these arguments and those after `--`; unless it exits with 0, end with its code.

    Nox itself knows only 0 and 1, so the codes 2 (wrong usage) and 3 (grader or machine error) end nox immediately.
    `-P` keeps Python from importing a package `grading` in the folder where the command was run, which a student may
    have written.
    """
    command = [str(Path(session.bin, "python")), "-P", "-m", module, *arguments, *session.posargs]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = subprocess.run(command, cwd=session.invoked_from, env=environment, check=False).returncode  # noqa: S603
    if code == 1:
        session.error("not yet")
    if code:
        sys.exit(
            code if code > 0 else 3
        )  # negative after a signal, such as the one that the system sends when memory runs out


def list_packages_up_to(module_id: str) -> list[str]:
    """List the installable packages of this module and of every one before it, which its tests may use."""
    last = MANIFEST.module(module_id).number
    return [package for module in MANIFEST.modules if module.number <= last for package in module.packages]


def declare_milestone_session(milestone: Milestone) -> None:
    """Declare the session `milestone-N`, which grades this milestone."""

    def run_milestone_session(session: nox.Session) -> None:
        """Install the milestone's packages, and grade it."""
        install_packages(session, *milestone.environment.packages, *list_packages_up_to(milestone.trigger))
        run_own_module(session, "grading", "milestone", str(milestone.id))

    state = "" if milestone.status is BuildStatus.BUILT else " (planned: cannot be graded yet)"
    run_milestone_session.__doc__ = f"Milestone {milestone.id}, {milestone.name}: {milestone.victory}{state}."
    nox.session(name=f"milestone-{milestone.id}")(run_milestone_session)


def declare_module_session(module: Module) -> None:
    """Declare the session `module-NN_name`, which runs this module's tests in a worker."""

    def run_module_session(session: nox.Session) -> None:
        """Install the module's packages, and run its tests."""
        install_packages(session, *list_packages_up_to(module.id))
        run_own_module(session, "grading", "module", module.id)

    state = "" if module.status is BuildStatus.BUILT else " (planned)"
    run_module_session.__doc__ = f"The tests of module {module.id}, run in a worker{state}."
    nox.session(name=f"module-{module.id}")(run_module_session)


for _milestone in MANIFEST.milestones:
    declare_milestone_session(_milestone)
for _module in MANIFEST.modules:
    declare_module_session(_module)


@nox.session(name="export")
def convert_result_records(session: nox.Session) -> None:
    """Convert result records to other formats: nox -s export -- --format junit --result result.json --to junit.xml."""
    install_packages(session, compiled=False)  # no worker runs here
    run_own_module(session, "grading", "export")


@nox.session(name="github")
def run_github_step(session: nox.Session) -> None:
    """Run a step of the workflows on GitHub. To list them: nox -s github -- --help."""
    # Not compiled: no worker runs here, and few of the thousands of files that describe GitHub's API are ever imported.
    packages = nox.project.dependency_groups(PROJECT, "github")
    session.install("--quiet", *list_constraint_options(session), *DEPENDENCIES, *packages)
    # The course itself has no release lock; it works out what students are given.
    run_own_module(session, "course.github" if (ROOT / "course").is_dir() else "grading.github")


if (ROOT / "course").is_dir():  # the maintainers' sessions; a student's repository has none of them
    TOOLS = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "site")))}

    @nox.session(name="ci", venv_backend="none")
    def run_all_ci_checks(session: nox.Session) -> None:
        """Run everything that CI checks, one after the other, up to the first failure."""
        for arguments in (
            ("lint",),
            ("course",),
            ("milestone-1", "--", "--again"),
            ("milestone-2", "--", "--again"),
            ("tests",),
        ):
            session.run(sys.executable, "-m", "nox", "-s", *arguments)

    @nox.session(name="tests")
    def run_project_tests(session: nox.Session) -> None:
        """Run the project's own tests; arguments are passed to pytest."""
        install_packages(session, *nox.project.dependency_groups(PROJECT, "course", "tests"))
        # Two more processes than cores, since many tests wait for a browser, an installation or a deadline. One thread
        # in each, since additional BLAS threads would only spin while they wait for each other. Compiled files are
        # kept, or thousands of processes would compile them again. tests/conftest.py sets the groups' order.
        environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": None}
        options = ("-n", str((os.cpu_count() or 1) + 2), "--dist", "loadgroup", "--no-loadscope-reorder")
        session.run("python", "-m", "pytest", *options, *session.posargs, env=environment)

    @nox.session(name="desk")
    def run_desk_chore(session: nox.Session) -> None:
        """Run an instructor's chore in its own environment, as workflows do: nox -s desk -- collect."""
        install_packages(session, *nox.project.dependency_groups(PROJECT, "course", "desk"))
        session.run("inv", *session.posargs, env=TOOLS)

    @nox.session(name="lint")
    def run_linters(session: nox.Session) -> None:
        """Check style, types, schemas, English, and the workflows of the course and of a release."""
        install_packages(session, *nox.project.dependency_groups(PROJECT, "course", "lint"))
        session.run("ruff", "check", ".")
        session.run("ruff", "format", "--check", ".")
        session.run("mypy")
        session.run("python", "-m", "grading.manifest", "schema", "--check")
        session.run("python", "-m", "grading.result_schema", "--check")
        session.run("codespell")
        session.run("python", "-m", "course.prose")
        with tempfile.TemporaryDirectory(prefix="tinytorch-workflows-") as folder:
            session.run("python", "-m", "course.workflows", folder)
            workflows = sorted(str(path) for path in Path(folder, ".github", "workflows").iterdir())
            settings = ("--config", str(Path(folder, ".github", "zizmor.yml")))
            session.run("zizmor", "--pedantic", "--no-online-audits", "--strict-collection", *settings, *workflows)
            session.run("actionlint", *workflows)

    @nox.session(name="course")
    def run_course_checks(session: nox.Session) -> None:
        """Check that solutions pass, skeletons fail, nothing leaks, and the manifest agrees with the disk."""
        install_packages(session, *nox.project.dependency_groups(PROJECT, "course"))
        session.run("python", "-m", "course.checks", *session.posargs)

    @nox.session(name="mutation")
    def run_mutation_tests(session: nox.Session) -> None:
        """Count how many small mutations of the solutions are detected by the students' tests."""
        install_packages(session, *nox.project.dependency_groups(PROJECT, "course", "mutation"))
        session.run("python", "-m", "course.mutation", *session.posargs)

    @nox.session(name="fuzz")
    def run_fuzzing(session: nox.Session) -> None:
        """Send 100,000 nearly valid inputs to all code that reads submitted files (takes half an hour)."""
        install_packages(session, *nox.project.dependency_groups(PROJECT, "course", "tests"))
        session.run("python", "-m", "tests.fuzz", *session.posargs, env=TOOLS)

    @nox.session(name="commands")
    def run_every_command(session: nox.Session) -> None:
        """Run every command that the documentation names, also where `nox -s tests` runs one of many that are alike."""
        install_packages(session, *nox.project.dependency_groups(PROJECT, "course", "tests"))
        every = {"TINYTORCH_EVERY_COMMAND": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": None}
        session.run("python", "-m", "pytest", "tests/test_docs.py", "-k", "to_type", *session.posargs, env=every)

    @nox.session(name="hostile")
    def grade_hostile_submissions(session: nox.Session) -> None:
        """Grade every hostile submission with the command, and again as a pull request, step by step.

        It takes 50 minutes of CPU time, which `-- -n 2` divides between two processes. With TINYTORCH_FENCE=landlock,
        student code is confined by Landlock instead of bubblewrap. Right and wrong submissions are also graded, without
        the shortcuts of `nox -s tests`.
        """
        install_packages(session, *nox.project.dependency_groups(PROJECT, "course", "tests"))
        everything = {"TINYTORCH_ALL_HOSTILE": "1", "OPENBLAS_NUM_THREADS": "1"}
        files = ("tests/test_miniatures.py", "tests/workflows/test_hostile.py")
        chosen = (*files, "-k", "not_given or own_task or unlocked", *session.posargs)
        session.run("python", "-m", "pytest", *chosen, env=everything)

    @nox.session(name="bench")
    def run_benchmark(session: nox.Session) -> None:
        """Measure the figures that the project promises, and PyTorch's figures, on this machine."""
        install_packages(session, "pip", *nox.project.dependency_groups(PROJECT, "course", "tests"))
        # With pip, whose configuration can point to an index of CPU-only builds; other builds take up gigabytes.
        session.run("python", "-m", "pip", "install", "--quiet", *nox.project.dependency_groups(PROJECT, "bench"))
        # PyTorch's kernels do not read OPENBLAS_CORETYPE. No comparison would be fair if it slowed down only NumPy's.
        session.run("python", "-m", "tests.bench", *session.posargs, env=TOOLS | {"OPENBLAS_CORETYPE": None})
