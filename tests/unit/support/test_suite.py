"""The suite's parts, run several at once."""

from pathlib import Path

import pytest

from tests.support.suite import run


def _part(folder: Path, name: str, body: str) -> str:
    path = folder / f"test_{name}.py"
    path.write_text(f"def test_{name}() -> None:\n    {body}\n")
    return str(path)


async def test_every_part_runs_and_its_output_stands_under_its_name(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    parts = [_part(tmp_path, "one", "pass"), _part(tmp_path, "two", "pass")]
    assert await run(parts, at_once=2) == []
    output = capfdbinary.readouterr().out.decode()
    for part in parts:
        assert f"== {part} (" in output
    assert output.count("1 passed") == 2


async def test_after_a_failure_nothing_new_begins_and_the_rest_is_named(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    bad = _part(tmp_path, "bad", "raise AssertionError('as told')")
    later = _part(tmp_path, "later", "pass")
    assert await run([bad, later], at_once=1) == [bad, later]
    output = capfdbinary.readouterr().out.decode()
    assert "as told" in output
    assert f"== {later}: not run" in output
