"""Check that submissions import only what the course has introduced."""

from __future__ import annotations

import ast

from grading.audit import audit_imports
from grading.measurement import CheckContext, Measurement
from grading.render.text import format_count
from grading.result import Failure
from grading.submission import list_source_files
from grading.syntax import parse_source


def count_import_violations(context: CheckContext) -> Measurement:
    """Count the forbidden imports in every file that parses. The source check reports the other files."""
    failures: list[Failure] = []
    files = list_source_files(context.manifest, context.modules)
    for file in files:
        name = file.path.as_posix()
        tree = parse_source(context.submission.read_text(file.path) or "", name)
        if isinstance(tree, ast.Module):
            failures += audit_imports(tree, name, file.module, context.manifest, recipe=file.is_recipe)
    return Measurement(
        {"violations": float(len(failures))},
        {"violations": tuple(failures)},
        how=f"read from the text of {format_count(len(files), 'file')}, which did not run",
    )
