"""Render a result as JUnit XML for the viewers of CI services, with one test case per criterion."""

from __future__ import annotations

import re
from datetime import UTC
from xml.etree import ElementTree as ET

from grading.render import figure_text, words
from grading.render.text import clean_text, prefix_text_with_label, quote_text, to_one_line
from grading.result import CriterionResult, CriterionStatus, Failure, Result

# Characters that XML 1.0 cannot represent, in addition to those that `clean_text` removes.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(*results: Result) -> str:
    """Render the results as a JUnit XML document with a suite for each result. There must be at least one result."""
    root = ET.Element("testsuites", name=_clean_xml_line(results[0].course.name))
    for result in results:
        _add_test_suite(root, result)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _add_test_suite(root: ET.Element, result: Result) -> None:
    """Add one result as a suite."""
    counts = {
        "tests": len(result.criteria),
        "failures": _count_criteria_with_status(result, CriterionStatus.FAILED),
        "errors": _count_criteria_with_status(result, CriterionStatus.ERROR),
        "skipped": _count_criteria_with_status(result, CriterionStatus.NOT_ATTEMPTED),
    }
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": _clean_xml_line(words.format_result_heading(result)),
            **{key: str(value) for key, value in counts.items()},
        },
        timestamp=f"{result.started_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
        time=f"{result.timing.total:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _list_suite_properties(result):
        ET.SubElement(properties, "property", name=name, value=_clean_xml_line(value))
    for criterion in result.criteria:
        _add_test_case(suite, result, criterion)
    if result.student_output:
        ET.SubElement(suite, "system-out").text = _clean_xml_text(quote_text(result.student_output, 10_000), 20_000)


def _count_criteria_with_status(result: Result, status: CriterionStatus) -> int:
    """Count the criteria with this status."""
    return sum(c.status is status for c in result.criteria)


def _list_suite_properties(result: Result) -> list[tuple[str, str]]:
    """List the verdict, the data and what is needed to reproduce the result."""
    more = [("provisional_because", reason) for reason in result.provisional_because]
    more += [("data", f"{data.name}, digest {data.digest}") for data in result.data]
    return [
        ("verdict", result.verdict.value),
        *more,
        ("seed", str(result.seed)),
        ("official", str(result.official).lower()),
        ("sandbox", result.machine.sandbox),
        ("submission", result.submission.digest),
        ("reproduce", result.command),
    ]


def _add_test_case(suite: ET.Element, result: Result, criterion: CriterionResult) -> None:
    """Add one criterion as a test case."""
    what = f"module-{result.module}" if result.milestone is None else f"milestone-{result.milestone}"
    case = ET.SubElement(
        suite,
        "testcase",
        classname=_clean_xml_line(f"{what}.{criterion.kind.value}"),
        name=_clean_xml_line(criterion.title),
        time="0",
    )
    figure = f"measured {figure_text.format_measured(criterion)}, required {figure_text.format_threshold(criterion)}"
    match criterion.status:
        case CriterionStatus.FAILED:
            # Use only one element, because several viewers keep just the first one or reject additional ones.
            element = ET.SubElement(
                case, "failure", type="criterion", message=_clean_xml_line(f"{figure}: {criterion.why}")
            )
            element.text = _clean_xml_text("\n\n".join(map(_format_failure_text, criterion.failures[:20])), 20_000)
        case CriterionStatus.ERROR:
            message = _clean_xml_line(
                criterion.explanation or "The grader or this machine failed, not the student's code."
            )
            ET.SubElement(case, "error", type="grader", message=message)
        case CriterionStatus.NOT_ATTEMPTED:
            ET.SubElement(case, "skipped", message=_clean_xml_line(criterion.explanation or "not attempted"))


def _format_failure_text(failure: Failure) -> str:
    """Format one failure as several lines of text."""
    parts = [
        ("where", words.format_failure_location(failure)),
        ("call", failure.call),
        ("got", failure.got),
        ("expected", failure.expected),
        ("hint", failure.hint),
        ("detail", failure.detail),
        ("try", words.build_test_command(failure)),
    ]
    return "\n".join(
        [
            words.format_failure_title(failure),
            *(prefix_text_with_label(f"  {name}: ", text, 1000) for name, text in parts if text),
        ]
    )


def _clean_xml_text(text: str, max_characters: int) -> str:
    """Clean text of several lines, remove what XML does not allow, and cut it after `max_characters` with a note."""
    return _NOT_XML.sub("", clean_text(text, max_characters))


def _clean_xml_line(text: str) -> str:
    """Clean and cut an attribute's value, put it on one line, and remove the characters that XML does not allow."""
    return _NOT_XML.sub("", to_one_line(text, 2000))
