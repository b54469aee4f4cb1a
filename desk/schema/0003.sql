-- Students who are known by another id than before, and the login that Canvas knows somebody by.

ALTER TABLE student ADD COLUMN sis_login TEXT;

CREATE TABLE renamed (
    old TEXT PRIMARY KEY,
    new TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
