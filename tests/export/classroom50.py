"""What Classroom 50 requires of a `result.json`, following its published schema and its runner's checks.

Facts from foundation50/classroom50: schemas/result-v1.schema.json, and `validate_result` of the runner (which the
gradebook's collector repeats), as of autumn 2026. The schema is closed; the checks add what a schema cannot express.
"""

from __future__ import annotations

from typing import Any

import jsonschema

ENVIRON = {
    "CLASSROOM": "deep-learning",
    "ASSIGNMENT": "milestone-1",
    "ASSIGNMENT_TYPE": "individual",
    "USERNAME": "ada",
    "OWNER": "ada",
    "SUBMISSION_TAG": "submit/2026-11-26T10-00-00Z-a1b2c3d",
    "COMMIT_URL": "https://github.com/school/deep-learning-milestone-1-ada/commit/abc",
    "RELEASE_URL": "https://github.com/school/deep-learning-milestone-1-ada/releases/tag/submit%2Fx",
    "REVIEW_URL": "https://github.com/school/deep-learning-milestone-1-ada/compare/abc...def",
}
TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
INSTANT = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$"}
FIELDS: dict[str, Any] = {
    "schema": {"const": "classroom50/result/v1"},
    "classroom": TEXT,
    "assignment": TEXT,
    "assignment_type": {"enum": ["individual", "group", "team"]},
    "owner": TEXT,
    "submission": {"type": "string", "pattern": "^submit/"},
    "commit": TEXT,
    "release": TEXT,
    "review": TEXT,
    "datetime": INSTANT,
    "score": COUNT,
    "max-score": COUNT,
    "tests": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["test-name", "passed", "score", "max-score"],
            "properties": {"test-name": TEXT, "passed": {"type": "boolean"}, "score": COUNT, "max-score": COUNT},
        },
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": list(FIELDS),
    "properties": {**FIELDS, "graded_at": INSTANT, "submitted_by": {"type": "object"}},
}


def find_problem(document: dict[str, Any], environ: dict[str, str] = ENVIRON) -> str | None:
    """Return why their runner would refuse the document, or None."""
    problem = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(SCHEMA).iter_errors(document))
    if problem is not None:
        return f"{problem.json_path}: {problem.message}"
    identity = {"classroom": "CLASSROOM", "assignment": "ASSIGNMENT", "owner": "OWNER", "submission": "SUBMISSION_TAG"}
    for field, variable in identity.items():
        if document[field] != environ[variable]:
            return f"{field} is not the runner's"
    if any(part["score"] > part["max-score"] for part in (document, *document["tests"])):
        return "a score above its maximum"
    return None
