"""The report for a terminal: what was asked for, the ratios, the figures."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
DISTURBED = 0.3  # cores; the kernel's own work for the network stays below it


def table(report: dict[str, Any]) -> str:
    """Ratios first."""
    return "\n\n".join(
        part
        for part in (
            _wanted(report["wanted"]),
            _ratios(report["ratios"]),
            _results(report["results"]),
            _cost(report["cpu_s_per_1000_by_process"]),
        )
        if part
    )


def _wanted(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        limit = f">= {row['at_least']:g}" if "at_least" in row else f"<= {row['at_most']:g}"
        mark = "reached" if row["reached"] else "NOT REACHED"
        lines.append([row["what"], f"{row['value']:g}", limit, mark])
    return grid("Wanted", ["figure", "value", "wanted", ""], lines)


def _ratios(rows: Sequence[Row]) -> str:
    heads = ["product to", "cell", "requests/s", "p50", "p99", "CPU/request"]
    lines = [
        [row["peer"], _cell(row)]
        + [_number(row[name], "x") for name in ("rps", "p50_ms", "p99_ms", "cpu_s_per_1000")]
        for row in rows
    ]
    return grid("Ratios, product to peer in the same run", heads, lines)


def _results(rows: Sequence[Row]) -> str:
    heads = ["system", "durable", "cell", "requests/s", "p50 ms", "p95", "p99", "CPU s/1000"]
    heads += ["RSS MiB", ""]
    lines = []
    for row in rows:
        figures = [_number(row[name]) for name in ("rps", "p50_ms", "p95_ms", "p99_ms")]
        figures += [f"{row['cpu_s_per_1000']:.3f}", _number(row["rss_mib"])]
        durable = "yes" if row["durable"] else "no"
        lines.append([row["system"], durable, _cell(row), *figures, _more(row)])
    return grid("Figures, medians of the rounds", heads, lines)


def _cost(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        if row["system"] == "product":
            costs = row["cpu_s_per_1000_by_process"].items()
            words = "  ".join(f"{name} {seconds:.3f}" for name, seconds in costs)
            lines.append([row["system"], _cell(row), words])
    return grid("CPU seconds per 1,000 requests by process", ["system", "cell", ""], lines)


def _more(row: Row) -> str:
    if row.get("errors"):
        return f"INVALID: {row['errors']:g} errors, first: {row['first_error'][:80]}"
    words = {
        "tokens_per_s": "tokens/s", "first_token_p95_ms": "ms first token p95",
        "dispatch_p95_ms": "ms dispatch p95",
    }  # fmt: skip
    notes = [f"{_number(row[name])} {text}" for name, text in words.items() if name in row]
    if row.get("others_cores", 0.0) >= DISTURBED:
        notes.append(f"disturbed: others used {row['others_cores']:.2f} cores")
    return ", ".join(notes)


def _cell(row: Row) -> str:
    return f"{row['transport']} {row['spaces']}x{row['slots']} @{row['clients']}"


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2
    return f"{value:,.{digits}f}{unit}"


def grid(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns, the text ones to the left; nothing when there is no line."""
    if not lines:
        return ""
    widths = [max(len(line[at]) for line in [heads, *lines]) for at in range(len(heads))]
    texts = [f"{title}"]
    for line in [heads, *lines]:
        texts.append(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
    return "\n".join(texts)
