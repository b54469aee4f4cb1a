"""Encode a result record as JSON without NaN. Equal records have the same bytes."""

from __future__ import annotations

import json
import math
from typing import Any

from grading.result import Result


def encode_result(result: Result) -> str:
    """Encode the record as JSON in its own field order, indented by two, ASCII only, with one newline at the end.

    Numbers that JSON does not support (NaN, infinities) become null. A lone surrogate becomes a question mark.
    """
    return json.dumps(_replace_unencodable(result.model_dump(mode="json")), indent=2, allow_nan=False) + "\n"


def decode_result(encoded: str | bytes) -> Result:
    """Decode JSON strictly as a record, so that "1" is not a number. Raise ValidationError if it is invalid."""
    return Result.model_validate_json(encoded, strict=True)


def _replace_unencodable(value: Any) -> Any:
    """Replace NaN and infinities with None, and lone surrogates with question marks, at any depth."""
    match value:
        case dict():
            return {_replace_unencodable(k): _replace_unencodable(v) for k, v in value.items()}
        case list() | tuple():
            return [_replace_unencodable(v) for v in value]
        case float() if not math.isfinite(value):
            return None
        case str():
            return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    return value
