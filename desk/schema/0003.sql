-- Students whose id has changed, and the login by which Canvas knows a student.

ALTER TABLE student ADD COLUMN sis_login TEXT;

CREATE TABLE renamed (
    old TEXT PRIMARY KEY,
    new TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
