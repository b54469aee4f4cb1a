-- Extensions of a student's deadline for one milestone.

ALTER TABLE student ADD COLUMN milestone_days TEXT NOT NULL DEFAULT '';
