"""The stand-in for Shakespeare: Python's own documentation, as `help()` shows it.

Every Python installation includes it.
"""

from __future__ import annotations

import hashlib
from pydoc_data.topics import topics

from grading.data.dataset import TextSet


def load_python_docs() -> TextSet:
    """Load about 500 KB of Python's help texts. Their bytes, and so the digest, depend on the version of Python."""
    data = "\n".join(topics[name] for name in sorted(topics)).replace("\0", "").encode()
    return TextSet("python-docs", data, hashlib.sha256(data).hexdigest(), stand_in_for="shakespeare")
