"""The instructor's desk: roster, collecting and grading a class, gradebook, reports. Not shipped to students."""
