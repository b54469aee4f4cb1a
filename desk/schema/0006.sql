-- The leaderboard: who agreed to be on it, and what its runs have measured. No grade depends on these runs.

ALTER TABLE student ADD COLUMN leaderboard INTEGER NOT NULL DEFAULT 0;

CREATE TABLE rerun (
    student TEXT NOT NULL,
    milestone INTEGER NOT NULL,
    commit_sha TEXT NOT NULL,
    course_digest TEXT NOT NULL,
    machine TEXT NOT NULL,
    at TEXT NOT NULL,
    verdict TEXT NOT NULL,
    measured TEXT NOT NULL CHECK (json_valid(measured)),
    PRIMARY KEY (student, milestone, at)
) STRICT, WITHOUT ROWID;
