"""Requests a second by clients, one line a system, as SVG. Both axes are logarithmic."""

import math
from collections.abc import Sequence
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 480, 70, 240, 40, 50


def plot(rows: Sequence[dict[str, Any]]) -> str:
    """Echo over HTTP into one space of 64 slots, and the product's other ways."""
    lines = _lines(rows)
    points = [point for line in lines.values() for point in line]
    if not points:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    low, high = _decades([rps for _, rps in points])
    most = max(max(clients for clients, _ in points), 2)

    def x(clients: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(clients) / math.log(most)

    def y(rps: float) -> float:
        share = (math.log10(rps) - low) / (high - low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">Echo of 200 bytes: requests/s by clients</text>',
    ]
    for decade in range(low, high + 1):
        at = y(10**decade)
        drawn.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        drawn.append(
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10**decade:,}</text>'
        )
    for clients in sorted({clients for clients, _ in points}):
        place = f'x="{x(clients):.1f}" y="{_HEIGHT - _BOTTOM + 20}"'
        drawn.append(f'<text {place} text-anchor="middle">{clients}</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour = f"hsl({360 * number / len(lines):.0f} 65% 42%)"
        width = 3 if name.startswith("product") else 1.5
        path = " ".join(f"{x(clients):.1f},{y(rps):.1f}" for clients, rps in line)
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )
        drawn += [
            f'<circle cx="{x(clients):.1f}" cy="{y(rps):.1f}" r="3" fill="{colour}"/>'
            for clients, rps in line
        ]
        place = f'x="{_WIDTH - _RIGHT + 16}" y="{_TOP + 18 * number}"'
        drawn.append(f'<text {place} fill="{colour}">{name}</text>')
    return "\n".join([*drawn, "</svg>"]) + "\n"


def _lines(rows: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        shape = f"{row['spaces']}x{row['slots']}"
        ours = row["system"] == "product"
        if row["transport"] not in ("http", "socket") or row.get("errors") or row["rps"] <= 0:
            continue
        if not ours and shape != "1x64":
            continue
        name = f"product {row['transport']} {shape}" if ours else row["system"]
        lines.setdefault(name, []).append((row["clients"], row["rps"]))
    return {name: sorted(line) for name, line in lines.items()}


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low = math.floor(math.log10(min(values)))
    return low, max(low + 1, math.ceil(math.log10(max(values))))
