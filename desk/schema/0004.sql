-- Grades that record the version of the course they come from, decisions about regrades, and manual overrides.

CREATE TABLE course (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    contents TEXT CHECK (contents IS NULL OR json_valid(contents))
) STRICT, WITHOUT ROWID;

INSERT INTO course
SELECT course_digest, max(json_extract(result, '$.course.name')), max(json_extract(result, '$.course.version')), NULL
FROM grading GROUP BY course_digest;

-- Before, a change to the course regraded everybody, and a submission's newest result counted. Those keep counting.
CREATE TABLE regrade (
    course_digest TEXT NOT NULL,
    at TEXT NOT NULL,
    policy TEXT NOT NULL CHECK (policy IN ('replace', 'keep_better', 'pin')),
    by_whom TEXT NOT NULL,
    PRIMARY KEY (course_digest, at)
) STRICT, WITHOUT ROWID;

INSERT INTO regrade
SELECT course_digest, min(started_at), 'replace', 'inv collect' FROM grading GROUP BY course_digest;

ALTER TABLE grading ADD COLUMN share REAL NOT NULL DEFAULT 0;
UPDATE grading SET share = CAST(met AS REAL) / max(1, criteria);

-- Append-only: for each student, milestone and kind, the newest override that was not withdrawn counts.
CREATE TABLE override (
    id TEXT PRIMARY KEY,
    student TEXT NOT NULL REFERENCES student (id),
    milestone INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('points', 'excused', 'bonus', 'comment')),
    value TEXT NOT NULL,
    at TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE withdrawal (
    override TEXT PRIMARY KEY REFERENCES override (id),
    at TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT, WITHOUT ROWID;
