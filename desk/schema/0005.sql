-- What students agreed to besides showing their name.

ALTER TABLE student ADD COLUMN links INTEGER NOT NULL DEFAULT 0;
