"""Capability questions: asked with each student's own parameters, judged on the grader's side, sealed in a release."""
