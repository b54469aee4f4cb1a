-- The first version of the gradebook. docs/gradebook.md explains each table and column.

CREATE TABLE student (
    id TEXT PRIMARY KEY,
    name TEXT,
    email TEXT,
    github TEXT,
    repository TEXT,
    section TEXT,
    public INTEGER NOT NULL CHECK (public IN (0, 1)),
    extension_days INTEGER NOT NULL CHECK (extension_days >= 0),
    enrolled INTEGER NOT NULL CHECK (enrolled IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE visit (
    student TEXT PRIMARY KEY REFERENCES student (id),
    at TEXT NOT NULL,
    branch TEXT,
    commit_sha TEXT,
    records_sha TEXT,
    problem TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE push (
    student TEXT NOT NULL REFERENCES student (id),
    branch TEXT NOT NULL,
    commit_sha TEXT NOT NULL,
    at TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('github', 'reflog', 'seen')),
    PRIMARY KEY (student, branch, commit_sha, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE grading (
    id TEXT PRIMARY KEY,
    student TEXT NOT NULL REFERENCES student (id),
    milestone INTEGER NOT NULL,
    commit_sha TEXT NOT NULL,
    submission_digest TEXT NOT NULL,
    course_digest TEXT NOT NULL,
    started_at TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('unlocked', 'provisional', 'not_yet', 'error')),
    met INTEGER NOT NULL,
    criteria INTEGER NOT NULL,
    result TEXT NOT NULL CHECK (json_valid(result))
) STRICT, WITHOUT ROWID;

CREATE INDEX grading_by_student ON grading (student, milestone, started_at);

CREATE TABLE handed_in (
    student TEXT NOT NULL REFERENCES student (id),
    commit_sha TEXT NOT NULL,
    course_digest TEXT NOT NULL,
    milestone INTEGER NOT NULL,
    submission_digest TEXT,
    PRIMARY KEY (student, commit_sha, course_digest, milestone)
) STRICT, WITHOUT ROWID;

CREATE TABLE record (
    student TEXT NOT NULL REFERENCES student (id),
    file TEXT NOT NULL,
    at TEXT NOT NULL,
    run_id INTEGER,
    event TEXT NOT NULL CHECK (json_valid(event)),
    reason TEXT,
    PRIMARY KEY (student, file)
) STRICT, WITHOUT ROWID;
