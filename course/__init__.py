"""Maintainers' tools, not shipped to students: the release, the course's checks, mutation runs, the benchmark."""
