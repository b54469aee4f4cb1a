"""The command `python -m grading.result_schema`, which writes or, with `--check`, checks the result record's schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grading.entry import run_and_get_exit_code
from grading.result import Result

PATH = Path("docs", "schema", "result.schema.json")


def generate_schema_json() -> str:
    """Generate the JSON Schema of a written result record."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Result.model_json_schema(mode="serialization"),
        "title": "TinyTorch result record",
    }
    return json.dumps(document, indent=2) + "\n"


def main(arguments: list[str], root: Path) -> int:
    """Write the schema below ``root``. With `--check`, change nothing and return 1 if the schema is out of date."""
    path = root / PATH
    if arguments == ["--check"]:
        if path.is_file() and path.read_text(encoding="utf-8") == generate_schema_json():
            return 0
        sys.stderr.write(f"{PATH} is out of date. Run `python -m grading.result_schema`.\n")
        return 1
    if arguments:
        sys.stderr.write("Usage: python -m grading.result_schema [--check]\n")
        return 2
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(generate_schema_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(run_and_get_exit_code(lambda: main(sys.argv[1:], Path(__file__).resolve().parents[1])))
