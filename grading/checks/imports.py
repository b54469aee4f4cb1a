"""Only what the course has introduced is imported."""

from __future__ import annotations

from grading.audit import audit
from grading.checks.measured import Context, Measured
from grading.result import Failure
from grading.submission import source_files


def imports(context: Context) -> Measured:
    """Audit every file that was handed in; a missing or refused one counts too."""
    failures: list[Failure] = []
    refused = {note.path: note.message for note in context.submission.record.refused}
    files = source_files(context.manifest, context.modules)
    for file in files:
        name = file.path.as_posix()
        text = context.submission.text(file.path)
        if text is not None:
            failures += audit(text, name, file.module, context.manifest, recipe=file.is_recipe)
        else:
            why = refused.get(name, "it was not handed in")
            failures.append(
                Failure(
                    title="Every file of the course is handed in",
                    got=f"{name}: {why}",
                    expected="a plain UTF-8 file of Python",
                    hint=f"Put it in its place, {name}; the course's own version shows what it starts from.",
                    file=name,
                )
            )
    return Measured(
        {"violations": float(len(failures))},
        {"violations": tuple(failures)},
        how=f"read from the text of {len(files)} files, without running them",
    )
