"""The fake GitHub's git data: blobs, trees, commits and refs with their real ids."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from tests.github.conversation import format_now
from tests.github.local import NAME, Answer, Hub, Repository, Request, build_error, declare_route

API = "https://api.github.com/repos/o/r/git"


def store_object(repository: Repository, kind: str, content: bytes, parsed: Any) -> str:
    """Store an object under the id that git gives it."""
    sha = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content).hexdigest()  # noqa: S324 - git's
    repository.objects[sha] = (kind, parsed)
    return sha


def store_tree(repository: Repository, files: dict[str, tuple[str, str]]) -> str:
    """Store a tree, and those below it, from path → (mode, blob's id)."""
    below: dict[str, dict[str, tuple[str, str]]] = {}
    entries: dict[str, tuple[str, str]] = {}
    for path, entry in files.items():
        first, _, rest = path.partition("/")
        if rest:
            below.setdefault(first, {})[rest] = entry
        else:
            entries[first] = entry
    for name, inner in below.items():
        entries[name] = ("040000", store_tree(repository, inner))
    ordered = sorted(entries.items(), key=lambda e: e[0] + ("/" if e[1][0] == "040000" else ""))
    raw = b"".join(f"{mode.lstrip('0')} {name}".encode() + b"\0" + bytes.fromhex(sha) for name, (mode, sha) in ordered)
    return store_object(repository, "tree", raw, dict(ordered))


def store_commit(repository: Repository, tree: str, parents: list[str], message: str, date: str) -> str:
    """Store a commit by the bot."""
    lines = [f"tree {tree}", *(f"parent {p}" for p in parents), f"committer bot {date}", "", message]
    fields = {"tree": tree, "parents": parents, "message": message, "date": date}
    return store_object(repository, "commit", "\n".join(lines).encode(), fields)


def list_tree_files(repository: Repository, tree: str, prefix: str = "") -> dict[str, tuple[str, str]]:
    """List every file below a tree: path → (mode, blob's id)."""
    found: dict[str, tuple[str, str]] = {}
    for name, (mode, sha) in repository.objects[tree][1].items():
        if mode == "040000":
            found |= list_tree_files(repository, sha, f"{prefix}{name}/")
        else:
            found[prefix + name] = (mode, sha)
    return found


def read_branch_files(repository: Repository, branch: str) -> dict[str, bytes]:
    """Read a branch's files: path → content."""
    tree = repository.objects[repository.refs[f"refs/heads/{branch}"]][1]["tree"]
    return {path: repository.objects[sha][1] for path, (_, sha) in list_tree_files(repository, tree).items()}


def commit_branch_files(
    repository: Repository, branch: str, files: dict[str, bytes], message: str = "Change files"
) -> str:
    """Replace a branch's whole content with a new commit, like somebody's push."""
    ref = f"refs/heads/{branch}"
    tree = store_tree(
        repository, {p: ("100644", store_object(repository, "blob", data, data)) for p, data in files.items()}
    )
    parents = [repository.refs[ref]] if ref in repository.refs else []
    repository.refs[ref] = store_commit(repository, tree, parents, message, format_now())
    return repository.refs[ref]


def _find_object(repository: Repository, kind: str, sha: str) -> Any:
    """Return an object's content if it exists and is of this kind."""
    found = repository.objects.get(sha)
    return found[1] if found and found[0] == kind else None


@declare_route("POST", f"{NAME}/git/blobs")
def create_blob(_hub: Hub, request: Request, repository: Repository) -> Answer:
    """Create a blob from text or base64."""
    content = request.body["content"]
    coded = request.body.get("encoding", "utf-8") == "base64"
    data = base64.b64decode(content) if coded else content.encode()
    sha = store_object(repository, "blob", data, data)
    return Answer(201, {"url": f"{API}/blobs/{sha}", "sha": sha}, {"Location": f"{API}/blobs/{sha}"})


@declare_route("GET", f"{NAME}/git/blobs/([0-9a-f]+)")
def get_blob(hub: Hub, _request: Request, repository: Repository, sha: str) -> Answer:
    """Return a blob as base64."""
    data = _find_object(repository, "blob", sha)
    if data is None:
        return build_error(404, "Not Found")
    content = base64.b64encode(data).decode()
    return Answer(200, hub.example("blob", sha=sha, size=len(data), content=content, encoding="base64"))


@declare_route("POST", f"{NAME}/git/trees")
def create_tree(_hub: Hub, request: Request, repository: Repository) -> Answer:
    """Create a tree, from nothing or on top of another; null removes a file."""
    base = request.body.get("base_tree")
    if base is not None and base not in repository.objects:
        return build_error(404, "Not Found")
    if base and repository.objects[base][0] == "commit":
        base = repository.objects[base][1]["tree"]
    files = list_tree_files(repository, base) if base else {}
    for entry in request.body["tree"]:
        if entry.get("sha", "") is None:
            files.pop(entry["path"], None)
            continue
        if "content" in entry:
            data = entry["content"].encode()
            sha = store_object(repository, "blob", data, data)
        else:
            sha = entry["sha"]
            if sha not in repository.objects:
                return build_error(422, "GitRPC::BadObjectState")
        files[entry["path"]] = (entry.get("mode", "100644"), sha)
    sha = store_tree(repository, files)
    return Answer(201, _format_tree(repository, sha, recursive=False), {"Location": f"{API}/trees/{sha}"})


@declare_route("GET", f"{NAME}/git/trees/([^/]+)")
def get_tree(_hub: Hub, request: Request, repository: Repository, sha: str) -> Answer:
    """Return a tree by its id, a commit's id or a branch's name; `recursive` lists all of it."""
    sha = repository.refs.get(f"refs/heads/{sha}", sha)
    if _find_object(repository, "commit", sha):
        sha = repository.objects[sha][1]["tree"]
    if _find_object(repository, "tree", sha) is None:
        return build_error(404, "Not Found")
    return Answer(200, _format_tree(repository, sha, recursive="recursive" in request.query))


def _format_tree(repository: Repository, sha: str, *, recursive: bool) -> dict[str, Any]:
    """Format a tree as GitHub does."""
    entries = list_tree_files(repository, sha) if recursive else repository.objects[sha][1]
    shown = []
    for path, (mode, below) in entries.items():
        kind = "tree" if mode == "040000" else "blob"
        entry = {"path": path, "mode": mode, "type": kind, "sha": below, "url": f"{API}/{kind}s/{below}"}
        shown.append(entry | ({"size": len(repository.objects[below][1])} if kind == "blob" else {}))
    return {"sha": sha, "url": f"{API}/trees/{sha}", "tree": shown, "truncated": False}


@declare_route("POST", f"{NAME}/git/commits")
def create_commit(hub: Hub, request: Request, repository: Repository) -> Answer:
    """Create a commit if its tree and parents exist."""
    body = request.body
    parents = body.get("parents", [])
    if _find_object(repository, "tree", body["tree"]) is None or any(
        _find_object(repository, "commit", p) is None for p in parents
    ):
        return build_error(422, "Tree SHA does not exist")
    date = body.get("author", {}).get("date", format_now())
    sha = store_commit(repository, body["tree"], parents, body["message"], date)
    return Answer(201, _format_commit(hub, repository, sha), {"Location": f"{API}/commits/{sha}"})


@declare_route("GET", f"{NAME}/git/commits/([0-9a-f]+)")
def get_commit(hub: Hub, _request: Request, repository: Repository, sha: str) -> Answer:
    """Return one commit."""
    return (
        Answer(200, _format_commit(hub, repository, sha))
        if _find_object(repository, "commit", sha)
        else build_error(404, "Not Found")
    )


def _format_commit(hub: Hub, repository: Repository, sha: str) -> dict[str, Any]:
    """Format a commit as GitHub does."""
    kept = repository.objects[sha][1]
    who = {"name": "github-actions[bot]", "email": "bot@users.noreply.github.com", "date": kept["date"]}
    return hub.example(
        "git-commit",
        sha=sha,
        author=who,
        committer=who,
        message=kept["message"],
        tree={"sha": kept["tree"], "url": f"{API}/trees/{kept['tree']}"},
        parents=[{"sha": p, "url": f"{API}/commits/{p}", "html_url": f"{API}/commits/{p}"} for p in kept["parents"]],
    )


@declare_route("GET", f"{NAME}/git/ref/(.+)")
def get_ref(_hub: Hub, _request: Request, repository: Repository, name: str) -> Answer:
    """Return a ref such as heads/main."""
    return (
        _answer_ref(repository, f"refs/{name}") if f"refs/{name}" in repository.refs else build_error(404, "Not Found")
    )


def _answer_ref(repository: Repository, name: str, status: int = 200) -> Answer:
    """Build the answer about a ref."""
    sha = repository.refs[name]
    target = {"type": "commit", "sha": sha, "url": f"{API}/commits/{sha}"}
    found = {"ref": name, "node_id": "R", "url": f"{API}/{name}", "object": target}
    return Answer(status, found, {"Location": f"{API}/{name}"} if status == 201 else {})


@declare_route("POST", f"{NAME}/git/refs")
def create_ref(_hub: Hub, request: Request, repository: Repository) -> Answer:
    """Create a new ref."""
    name, sha = request.body["ref"], request.body["sha"]
    if name in repository.refs:
        return build_error(422, "Reference already exists")
    if _find_object(repository, "commit", sha) is None:
        return build_error(422, "Object does not exist")
    repository.refs[name] = sha
    return _answer_ref(repository, name, 201)


@declare_route("PATCH", f"{NAME}/git/refs/(.+)")
def update_ref(_hub: Hub, request: Request, repository: Repository, name: str) -> Answer:
    """Move a ref forward, or anywhere if forced."""
    name, sha = f"refs/{name}", request.body["sha"]
    if name not in repository.refs or _find_object(repository, "commit", sha) is None:
        return build_error(422, "Reference does not exist")
    if not request.body.get("force") and repository.refs[name] not in _find_ancestors(repository, sha):
        return build_error(422, "Update is not a fast forward")
    repository.refs[name] = sha
    return _answer_ref(repository, name)


def _find_ancestors(repository: Repository, sha: str) -> set[str]:
    """Return a commit and all its ancestors."""
    found: set[str] = set()
    waiting = [sha]
    while waiting:
        commit = waiting.pop()
        if commit not in found:
            found.add(commit)
            waiting += repository.objects[commit][1]["parents"]
    return found


@declare_route("GET", f"{NAME}/contents/(.+)")
def get_content(_hub: Hub, request: Request, repository: Repository, path: str) -> Answer:
    """Return a file on a branch or at a commit."""
    asked = request.query.get("ref", "main").removeprefix("refs/heads/")
    commit = repository.refs.get(f"refs/heads/{asked}", asked)
    kept = _find_object(repository, "commit", commit)
    entry = list_tree_files(repository, kept["tree"]).get(path) if kept else None
    if entry is None:
        return build_error(404, "Not Found")
    data, url = repository.objects[entry[1]][1], f"https://api.github.com/repos/o/r/contents/{path}"
    about = {"type": "file", "name": path.rpartition("/")[2], "path": path, "sha": entry[1], "size": len(data)}
    urls = dict.fromkeys(("url", "git_url", "html_url", "download_url"), url)
    links = {"self": url, "git": url, "html": url}
    content = base64.encodebytes(data).decode()
    return Answer(200, {**about, **urls, "_links": links, "encoding": "base64", "content": content})
