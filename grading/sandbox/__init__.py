"""Start a worker process and confine it with bubblewrap, with Landlock, or only with limits.

The design is described in docs/architecture/isolation.md, in the course's repository.
"""
