"""Maintainers' tools, not shipped: the student release, the course's checks, and chores around them."""
