"""What the tree may hold: names, sizes, and nothing that ties it to one machine."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
MOST_FUNCTION_LINES = 50
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "base", "core", "shared"}
# Written so that this file does not hold what it forbids.
FORBIDDEN_TEXTS = {
    "a machine's path": re.compile(r"(?<![\w.])/(?:work|home/\w+|Users/\w+)/"),
    "a package registry": re.compile(
        r"(?:py" + r"pi\.org|pythonhosted\.org|npm" + r"js\.(?:org|com))"
    ),
}
SQL = re.compile(
    r"\b(?:SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+(?:\.\w+)?\s+SET|DELETE\s+FROM)\b", re.DOTALL
)

# Pooled connections are handed on as they are (see the database of the chassis).
OF_A_SESSION = re.compile(r"\bpg_(?:try_)?advisory_lock|\bLISTEN\s|\bSET\s+SESSION\b")


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def product_modules() -> list[Path]:
    return [path for path in tracked(".py") if "src" in path.relative_to(ROOT).parts]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_python_file_fits_the_budget() -> None:
    long = {
        relative(path): lines
        for path in tracked(".py")
        if (lines := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert long == {}


def test_every_function_fits_the_budget() -> None:
    long = {
        f"{relative(path)}:{function.lineno} {function.name}": lines
        for path in tracked(".py")
        for function in functions(path)
        if (lines := body_lines(function)) > MOST_FUNCTION_LINES
    }
    assert long == {}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    # A command's options are its signature, and one line each: the budget is for what is done.
    documented = ast.get_docstring(function) is not None and len(function.body) > 1
    first = function.body[1 if documented else 0]
    return (function.end_lineno or 0) - first.lineno + 1


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_module_or_folder_is_a_drawer() -> None:
    drawers = [
        relative(path)
        for path in tracked(".py")
        if FORBIDDEN_NAMES & {path.stem, *path.relative_to(ROOT).parts[:-1]}
    ]
    assert drawers == []


def test_package_files_hold_no_logic() -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
    with_logic = [
        relative(path)
        for path in product_modules()
        if path.name == "__init__.py"
        and not all(isinstance(node, allowed) for node in ast.parse(path.read_text()).body)
    ]
    assert with_logic == []


def test_tests_are_no_packages() -> None:
    assert [relative(path) for path in tracked(".py") if path.match("tests/**/__init__.py")] == []


@pytest.mark.parametrize("what", FORBIDDEN_TEXTS)
def test_no_tracked_file_names(what: str) -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a picture or a sound
        if FORBIDDEN_TEXTS[what].search(text):
            found.append(relative(path))
    assert found == []


def test_sql_is_written_in_store_modules_only() -> None:
    strays = [
        relative(path)
        for path in product_modules()
        if not may_hold_sql(path) and any(SQL.search(text) for text in strings(path))
    ]
    assert strays == []


def may_hold_sql(path: Path) -> bool:
    # The stack makes roles and databases, the chassis keeps the table of applied migrations: neither has a store.
    return path.stem.endswith("store") or path.stem in {"database_roles", "migrate", "migrations"}


def test_no_store_leaves_anything_in_its_session() -> None:
    scripts = [path for path in tracked(".sql") if "src" in path.relative_to(ROOT).parts]
    texts = {path: [path.read_text()] for path in scripts}
    texts |= {path: list(strings(path)) for path in product_modules() if path.stem != "migrate"}
    assert [
        relative(path) for path, found in texts.items() if any(map(OF_A_SESSION.search, found))
    ] == []


def strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_marker_of_unfinished_work() -> None:
    marker = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    assert [
        relative(path) for path in tracked(".py", ".sql") if marker.search(path.read_text())
    ] == []
