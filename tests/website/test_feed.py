"""A timeline's feed is valid Atom (RFC 4287), and its ids never change."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from grading.manifest.model import Manifest
from tests.render.results import build_not_yet, build_result
from tests.website.conftest import make_attempt, make_member, make_started_event
from website.page_renderer import SiteContext
from website.student_pages import FEED_ENTRIES, render_student_pages
from website.student_story import build_student_story

ATOM = "{http://www.w3.org/2005/Atom}"
FOLDER = "student/quiet-otter-40391/"


def parse_feed(manifest: Manifest, *events, base_url: str | None = None) -> ElementTree.Element:
    """Render the feed of a student with these events, and parse it."""
    files = render_student_pages(build_student_story(make_member(*events), manifest), SiteContext(manifest, base_url))
    return ElementTree.fromstring(files[f"{FOLDER}feed.xml"])  # noqa: S314 - our own file


@pytest.mark.parametrize("base_url", [None, "https://class.example/x/"])
def test_it_has_what_atom_asks_for(manifest: Manifest, base_url: str | None) -> None:
    """The feed and each entry have one id, title and time; links lead to the record on the page."""
    root = parse_feed(
        manifest,
        make_started_event("01_setup"),
        make_attempt(build_not_yet(), 1),
        make_attempt(build_result(), 2),
        base_url=base_url,
    )
    assert root.tag == f"{ATOM}feed"
    entries = root.findall(f"{ATOM}entry")
    for element in (root, *entries):
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"{ATOM}{name}")) == 1
    assert root.findtext(f"{ATOM}author/{ATOM}name") == "Quiet Otter 40391"
    assert [e.findtext(f"{ATOM}updated") for e in entries] == [
        "2026-10-03T12:00:00Z",
        "2026-10-02T12:00:00Z",
        "2026-10-01T12:00:00Z",
    ]
    own = {link.get("rel"): link.get("href") for link in root.findall(f"{ATOM}link")}
    assert own["self"] == (f"{base_url}{FOLDER}" if base_url else "") + "feed.xml"
    link = entries[0].find(f"{ATOM}link")
    assert link is not None
    assert link.get("href") == (f"{base_url}{FOLDER}" if base_url else "") + "index.html#r3"


def test_ids_are_unique_and_stay(manifest: Manifest) -> None:
    """A new record changes no entry before it."""
    before = list_ids(parse_feed(manifest, make_started_event("01_setup"), make_attempt(build_result(), 1)))
    after = list_ids(
        parse_feed(
            manifest, make_started_event("01_setup"), make_attempt(build_result(), 1), make_attempt(build_not_yet(), 2)
        )
    )
    assert len(set(after)) == 4
    assert set(before) < set(after)
    assert all(id_.startswith("urn:uuid:") for id_ in after)


def list_ids(root: ElementTree.Element) -> list[str | None]:
    """List the ids of a feed and of its entries."""
    return [element.text for element in root.iter(f"{ATOM}id")]


def test_a_long_history_makes_no_endless_feed(manifest: Manifest) -> None:
    """The feed contains the newest entries."""
    root = parse_feed(manifest, *(make_started_event("01_setup", day) for day in range(FEED_ENTRIES + 20)))
    assert len(root.findall(f"{ATOM}entry")) == FEED_ENTRIES
