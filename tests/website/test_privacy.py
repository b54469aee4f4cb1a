"""Nothing from the roster, and nothing that a student's text could trigger, gets into the site."""

from __future__ import annotations

import random
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from course.cohorts import write_simulated_records
from desk.cohort import RecordEntry
from grading import progress
from grading.manifest.model import Manifest
from grading.progress import Event
from grading.result import NamedImage, Picture, Writing
from tests.render.results import build_criterion, build_failure, build_loss_criterion, build_not_yet, build_result
from tests.website.conftest import PUBLIC, SECRETS, ClassOnDisk, make_attempt, make_member, read_files
from website.build import build_site
from website.class_sources import FolderSource
from website.page_renderer import SiteContext
from website.student_pages import render_student_pages
from website.student_story import build_student_story

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></svg></style><script>alert(1)</script>",
    "]]><entry/>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "https://evil.example/track.png",
    "\x00\x1b]0;title\x07\u202egnp.exe",
]


def test_nothing_of_the_roster_is_in_any_file_or_file_name(built_class: ClassOnDisk) -> None:
    """Files have no id, e-mail, user name, repository, section or hidden name, only names of students who agreed."""
    files = read_files(built_class.site)
    assert len(files) > 30
    for path, data in files.items():
        for where in (path, data.decode("utf-8", "replace")):
            for secret in SECRETS:
                assert secret.casefold() not in where.casefold(), f"{secret} in {path}"
    assert any(PUBLIC in data.decode("utf-8", "replace") for data in files.values())


def test_a_hidden_student_is_told_the_same_whatever_the_roster_says(
    built_class: ClassOnDisk, own_class: ClassOnDisk
) -> None:
    """Changing any other column changes no page."""
    text = own_class.roster.read_text("utf-8")
    text = (
        text.replace("Hidden-Canary", "Other").replace("Section-Canary", "B").replace("school.example", "uni.example")
    )
    own_class.roster.write_text(text, "utf-8")
    build_site(own_class.source, own_class.site, base_url="https://class.example/course")
    assert read_files(own_class.site) == read_files(built_class.site)


def test_the_key_of_the_pseudonyms_stays_where_the_records_are(built_class: ClassOnDisk) -> None:
    """Anyone who has the key can identify the students."""
    key = (built_class.records / "pseudonyms.key").read_text("ascii").strip()
    assert len(key) == 64
    assert not any(key.encode() in data or bytes.fromhex(key) in data for data in read_files(built_class.site).values())


def test_another_key_gives_other_addresses(built_class: ClassOnDisk, manifest: Manifest, tmp_path: Path) -> None:
    """An address cannot be computed from an id alone."""
    write_simulated_records(tmp_path / "zz-ada-canary", manifest, random.Random(3), "zz-ada-canary")  # noqa: S311 - nothing secret
    other = FolderSource(tmp_path).list_students()[0].student.pseudonym
    assert other != built_class.pseudonym("zz-ada-canary")


def test_no_page_wants_to_be_found(built_class: ClassOnDisk) -> None:
    """Every page says noindex, and that its address must not be passed on."""
    pages = [data.decode() for path, data in read_files(built_class.site).items() if path.endswith(".html")]
    assert all('<meta name="robots" content="noindex, nofollow">' in page for page in pages)
    assert all('<meta name="referrer" content="no-referrer">' in page for page in pages)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(manifest: Manifest, text: str) -> None:
    """In names and every displayed field of a record, such text creates no element, attribute or address."""
    told = build_student_story(make_member(*make_hostile_events(text), name=text, public=True), manifest)
    harmless = build_student_story(
        make_member(*make_hostile_events("harmless"), name="harmless", public=True), manifest
    )
    files, expected = (render_student_pages(story, SiteContext(manifest)) for story in (told, harmless))
    assert set(files) == set(expected)
    for path, data in files.items():
        if path.endswith(".html"):
            assert list_tags_with_attributes(data.decode()) == list_tags_with_attributes(expected[path].decode()), path
        elif path.endswith((".xml", ".svg")):
            assert list_element_names(data) == list_element_names(expected[path]), path


def test_what_is_not_shown_of_a_record(manifest: Manifest) -> None:
    """Output, calls, values, paths, commits and the id are only for the student and the instructor."""
    event = make_attempt(
        build_result(
            build_criterion(
                "failed", 0.2, failures=(build_failure(call="CALL-X", got="GOT-X", detail="DETAIL-X", file="FILE-X"),)
            ),
            verdict="not_yet",
            student_output="OUTPUT-X",
            reproduce="nox -- --student STUDENT-X",
        )
    )
    assert event.raw is not None
    event.raw["submission"] |= {"student": "STUDENT-X", "commit": "c0ffee" + "0" * 34}
    for data in render_student_pages(build_student_story(make_member(event), manifest), SiteContext(manifest)).values():
        for secret in (b"CALL-X", b"GOT-X", b"DETAIL-X", b"FILE-X", b"OUTPUT-X", b"STUDENT-X", b"c0ffee", b"canary"):
            assert secret not in data


def make_hostile_events(text: str) -> list[Event | RecordEntry]:
    """Make one record of each kind with the text in every place that can hold text."""
    fails = build_failure(task=None, title=f"It {text}", call=text, got=text, hint=text, file=text, test=text)
    failed = build_criterion("failed", 0.5, title=f"T {text}", why=text, how=text, failures=(fails,))
    measured = build_loss_criterion(title=f"T {text}", how=text, name=text)
    events = [
        make_attempt(build_not_yet(criteria=(failed,), name=text, reproduce=text, student_output=text), 1),
        make_attempt(
            build_result(measured, name=text, medal=text, verdict="provisional", provisional_because=(f"P {text}",)),
            2,
            curves=tuple(c.model_copy(update={"name": f"C {text}"}) for c in build_result().curves),
            pictures=(
                Picture(name="confusions", seed=1, shape=(2, 2), labels=(text, "b"), values=(3, 1, 0, 4)),
                Picture(name="attention", seed=1, shape=(1, 1, 1), labels=(text, text), values=(100,)),
                Picture(name="rivals_on_text", seed=1, shape=(1,), labels=(text,), values=(9,)),
            ),
            writings=(Writing(kind="function", prompt=text, written=text, right=True),),
            named_images=(
                NamedImage(shows=text, named=text, percent=1, shape=(1, 1, 3), pixels="AAAA"),
                NamedImage(shows=text, named="b", percent=1, shape=(1, 1, 3), pixels="AAAA"),
            ),
        ),
    ]
    for event in events:
        assert event.raw is not None
        event.raw["course"]["name"] = text
        event.raw["machine"]["system"] = text
        event.raw["data"] = [{"name": text, "digest": text, "stand_in_for": text}]
    module = Event(progress.Kind.MODULE_STARTED, events[0].at, module=text)
    return [module, *events, RecordEntry(events[0], verified=False, reason="it was edited after it was published")]


class TagCollector(HTMLParser):
    """A parser that collects a page's elements with their attributes, without the text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Keep addresses in full; of other attributes keep only the names."""
        kept = (f"{n}={v}" if n in ("href", "src", "id", "class") else n for n, v in attributes)
        self.found.append((tag, tuple(kept)))


def list_tags_with_attributes(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """List each tag of a page with its attributes, as TagCollector keeps them."""
    parser = TagCollector()
    parser.feed(page)
    parser.close()
    return parser.found


def list_element_names(data: bytes) -> list[str]:
    """List the names of all elements in an XML document."""
    return [element.tag for element in ElementTree.fromstring(data).iter()]  # noqa: S314 - our own files
