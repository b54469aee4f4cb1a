"""Renders one student's pages: timeline, portfolio, feed, preview image, badges."""

from __future__ import annotations

import uuid
from typing import Any

from desk.cohort import NEVER
from grading.journey import State
from grading.manifest.model import BuildStatus
from grading.render.badge import render_badge
from website.activity_calendar import draw_calendar
from website.image_sheets import draw_images_in_one_row
from website.page_renderer import COURSE, SiteContext, SiteFiles
from website.preview_card import CardLine, draw_preview_card
from website.student_story import StudentStory

FEED_ENTRIES = 50
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://tinytorch.example/timeline")
"""The namespace of the feeds' ids, which stay the same wherever the site is served."""


def render_student_pages(story: StudentStory, site: SiteContext) -> SiteFiles:
    """Render all files below student/PSEUDONYM/."""
    folder = f"student/{story.pseudonym}"
    shared = {
        # Outsiders see portfolios, so portfolios link to the student's own pages and the course, but not to the class.
        "navigation": (("Timeline", f"{folder}/index.html"), ("Portfolio", f"{folder}/portfolio.html"), COURSE),
        "story": story,
        "calendar": draw_calendar(story.steps),
        "done": sum(m.state is State.COMPLETED for m in story.modules),
        "unlocked": story.capabilities,
        "lessons": {m.id for m in site.manifest.modules if m.status is BuildStatus.BUILT},
        "description": summarize_story_in_sentence(story),
    }
    files = {
        f"{folder}/{name}": site.render_page(template, f"{folder}/{name}", **shared)
        for name, template in (("index.html", "timeline.html.jinja"), ("portfolio.html", "portfolio.html.jinja"))
    }
    files[f"{folder}/feed.xml"] = site.render_page(
        "feed.xml.jinja", f"{folder}/feed.xml", **_collect_feed_values(story, site, folder)
    )
    files[f"{folder}/card.png"] = draw_preview_card(
        site.manifest.course.name, story.name, _list_card_lines(story), verified=story.any_verified
    )
    for capability in story.capabilities:
        name = f"{folder}/milestone-{capability.milestone.id}"
        files[f"{name}.svg"] = render_badge(capability.result).encode()
        if capability.named_images:
            files[f"{name}-images.png"] = draw_images_in_one_row(capability.named_images)
    return files


def summarize_story_in_sentence(story: StudentStory) -> str:
    """Describe a student's work in one sentence, for previews of a link."""
    if not story.capabilities:
        return f"{story.name} is building a deep-learning framework from NumPy up."
    names = [c.milestone.name + (" (provisional)" if c.provisional else "") for c in story.capabilities]
    if not story.any_verified:
        return f"{story.name} built a deep-learning framework from NumPy up. The records on this page are not verified."
    return f"{story.name} built a deep-learning framework from NumPy up. Its measured capabilities: {', '.join(names)}."


def _list_card_lines(story: StudentStory) -> list[CardLine]:
    """List the milestones as lines of the preview picture."""
    return [CardLine(m.id, m.name, m.state is State.COMPLETED, m.provisional) for m in story.milestones]


def _collect_feed_values(story: StudentStory, site: SiteContext, folder: str) -> dict[str, Any]:
    """Collect the values for the feed's template: the newest 50 steps, newest first, their ids, and addresses."""
    steps = tuple(reversed(story.steps))[:FEED_ENTRIES]
    base = f"{site.base_url}{folder}/" if site.base_url else ""
    ids: dict[int | str, str] = {"feed": uuid.uuid5(NAMESPACE, story.pseudonym).urn}
    for step in steps:
        ids[step.number] = uuid.uuid5(NAMESPACE, f"{story.pseudonym} {step.at.isoformat()} {step.title}").urn
    return {
        "story": story,
        "steps": steps,
        "ids": ids,
        "updated": steps[0].at if steps else NEVER,
        "page": f"{base}index.html",
        "address": f"{base}feed.xml",
        "icon": f"{site.base_url}icon.svg" if site.base_url else "../../icon.svg",
    }
