"""The state of the last report, kept at the end of the comment so that the next report can describe what has changed.

Anyone who can write to the repository can edit a comment. So it is parsed strictly, and no verdict depends on it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from grading.result import CriterionStatus, Result, Verdict

MAX_STATE_CHARACTERS = 12_000
"""The maximum length of the state in base64."""
MAX_SESSIONS = 40
MAX_CRITERIA = 40
_BLOCK = re.compile(rf"\n<!-- tinytorch:state ([A-Za-z0-9+/=]{{1,{MAX_STATE_CHARACTERS}}}) -->\s*\Z")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}\z")]
Session = Annotated[str, StringConstraints(pattern=r"^(milestone-[1-9][0-9]{0,2}|module-[0-9]{2}_[a-z0-9_]{1,40})\z")]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}\z")]


class _StrictModel(BaseModel):
    """A frozen model that allows no unknown fields, conversions or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class CriterionState(_StrictModel):
    """One criterion's state at the last report."""

    passed: bool
    measured: float | None = None


class SessionState(_StrictModel):
    """One session's state at the last report."""

    verdict: Literal["unlocked", "provisional", "not_yet", "error"]
    criteria: dict[Name, CriterionState] = Field(default={}, max_length=MAX_CRITERIA)


class ReportState(_StrictModel):
    """The run that reported, its commit, and the last known state of each session."""

    version: Literal[1] = 1
    run: int = Field(ge=0, lt=2**63)
    attempt: int = Field(ge=0, lt=2**31)
    commit: Sha
    sessions: dict[Session, SessionState] = Field(max_length=MAX_SESSIONS)


def summarize_result_as_state(result: Result) -> SessionState:
    """Build a session's state for the next report: its verdict and well-formed criteria, up to MAX_CRITERIA."""
    kept: dict[str, CriterionState] = {}
    for criterion in result.criteria[:MAX_CRITERIA]:
        measured = None if criterion.measured is None or abs(criterion.measured) > 1e12 else criterion.measured
        if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", criterion.name) and measured == measured:
            kept[criterion.name] = CriterionState(passed=criterion.status is CriterionStatus.PASSED, measured=measured)
    return SessionState(verdict=result.verdict.value, criteria=kept)


def merge_report_state(
    results: tuple[Result, ...], previous: ReportState | None, *, run: int, attempt: int, commit: str
) -> ReportState:
    """Build the state that the next report reads. Sessions without a new verdict keep theirs, up to MAX_SESSIONS."""
    new = {r.session: summarize_result_as_state(r) for r in results if r.verdict is not Verdict.ERROR}
    old = previous.sessions if previous else {}
    both = {**new, **{session: old[session] for session in old if session not in new}}
    return ReportState(run=run, attempt=attempt, commit=commit, sessions=dict(list(both.items())[:MAX_SESSIONS]))


def encode_report_state(state: ReportState) -> str:
    """Encode the state as an HTML comment, without the criteria if it would be too long."""
    bare = {session: SessionState(verdict=kept.verdict) for session, kept in state.sessions.items()}
    for shown in (state, state.model_copy(update={"sessions": bare})):
        coded = base64.b64encode(shown.model_dump_json(exclude_defaults=False).encode()).decode()
        if len(coded) <= MAX_STATE_CHARACTERS:
            break
    return f"<!-- tinytorch:state {coded} -->"


def decode_report_state(comment_body: str) -> ReportState | None:
    """Decode the state at the end of a comment. Return None if it is missing or malformed."""
    found = _BLOCK.search(comment_body[-MAX_STATE_CHARACTERS - 200 :])
    if found is None:
        return None
    try:
        return ReportState.model_validate_json(base64.b64decode(found[1], validate=True))
    except (binascii.Error, ValidationError, ValueError, RecursionError):
        return None
