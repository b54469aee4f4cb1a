"""The state of the last report, kept at the end of the comment so that the next one can tell what changed.

Anyone who can write to the repository can edit a comment. So it is parsed strictly, and no verdict depends on it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from grading.result import CriterionStatus, Result, Verdict

LARGEST = 12_000
"""Limit for the base64."""
MOST_SESSIONS = 40
MOST_CRITERIA = 40
_BLOCK = re.compile(rf"\n<!-- tinytorch:state ([A-Za-z0-9+/=]{{1,{LARGEST}}}) -->\s*\Z")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}\z")]
Session = Annotated[str, StringConstraints(pattern=r"^(milestone-[1-9][0-9]{0,2}|module-[0-9]{2}_[a-z0-9_]{1,40})\z")]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}\z")]


class Stated(BaseModel):
    """A frozen model that allows no unknown fields, conversions or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Criterion(Stated):
    """One criterion at the last report."""

    passed: bool
    measured: float | None = None


class Standing(Stated):
    """One session at the last report."""

    verdict: Literal["unlocked", "provisional", "not_yet", "error"]
    criteria: dict[Name, Criterion] = Field(default={}, max_length=MOST_CRITERIA)


class State(Stated):
    """The run that reported, its commit, and the last known state of each session."""

    version: Literal[1] = 1
    run: int = Field(ge=0, lt=2**63)
    attempt: int = Field(ge=0, lt=2**31)
    commit: Sha
    sessions: dict[Session, Standing] = Field(max_length=MOST_SESSIONS)


def standing(result: Result) -> Standing:
    """Build the state to keep of a result."""
    kept: dict[str, Criterion] = {}
    for criterion in result.criteria[:MOST_CRITERIA]:
        measured = None if criterion.measured is None or abs(criterion.measured) > 1e12 else criterion.measured
        if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", criterion.name) and measured == measured:
            kept[criterion.name] = Criterion(passed=criterion.status is CriterionStatus.PASSED, measured=measured)
    return Standing(verdict=result.verdict.value, criteria=kept)


def state_after(results: tuple[Result, ...], previous: State | None, *, run: int, attempt: int, commit: str) -> State:
    """Build the state to keep next; sessions not graded this time keep their state."""
    new = {r.session: standing(r) for r in results if r.verdict is not Verdict.ERROR}
    old = previous.sessions if previous else {}
    both = {**new, **{session: old[session] for session in old if session not in new}}
    return State(run=run, attempt=attempt, commit=commit, sessions=dict(list(both.items())[:MOST_SESSIONS]))


def written(state: State) -> str:
    """Encode the state as an HTML comment, without the criteria if it would be too long."""
    bare = {session: Standing(verdict=kept.verdict) for session, kept in state.sessions.items()}
    for shown in (state, state.model_copy(update={"sessions": bare})):
        coded = base64.b64encode(shown.model_dump_json(exclude_defaults=False).encode()).decode()
        if len(coded) <= LARGEST:
            break
    return f"<!-- tinytorch:state {coded} -->"


def read(body: str) -> State | None:
    """Decode the state at the very end of a comment; None when it is missing or malformed."""
    found = _BLOCK.search(body[-LARGEST - 200 :])
    if found is None:
        return None
    try:
        return State.model_validate_json(base64.b64decode(found[1], validate=True))
    except (binascii.Error, ValidationError, ValueError, RecursionError):
        return None
