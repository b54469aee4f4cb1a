"""Start a worker process and confine it with bubblewrap, Landlock, or limits alone.

The design is described in docs/architecture/isolation.md, in the course's repository.
"""
