"""Runs Autobahn's cases by kosoku and counts verdicts."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kosoku import FailureError, run_fuzzingclient, run_fuzzingserver

SHORT = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
SHORT_COUNT = 247
# Sizes and times; and compression, which is off everywhere.
LONG = ("9.*",)
LONG_COUNT = 54
COMPRESSION = ("12.*", "13.*")
COMPRESSION_COUNT = 216
# The largest message of 9.*, and a little more.
LARGEST = 17 * 1_048_576


@dataclass(frozen=True)
class Tally:
    """Verdicts of one run, as the report shows them."""

    cases: int
    verdicts: dict[str, int]
    failed: list[str]

    def row(self, socket: str) -> dict[str, Any]:
        """One row of the report."""
        shown = dict(self.verdicts)
        return {"socket": socket, "cases": self.cases, "failed": len(self.failed), **shown}


async def as_client(url: str, cases: Sequence[str], concurrency: int = 4) -> list[Any]:
    """Plays every case to a server; the results."""
    try:
        results = await run_fuzzingclient(url, cases=list(cases), concurrency=concurrency)
    except FailureError as error:
        results = error.results
    return list(results)


async def as_server(cases: Sequence[str], play: Callable[[str], Awaitable[None]]) -> list[Any]:
    """Offers every case to a client, which `play(url)` drives; the results."""
    async with run_fuzzingserver(cases=list(cases), port=0) as server:
        await play(f"ws://{server.address}:{server.port}")
        try:
            results = await server.get_result()
        except FailureError as error:
            results = error.results
    return list(results)


def tally(results: Sequence[Any]) -> Tally:
    """Counts; compression that is not spoken is unimplemented, which is no failure."""
    verdicts = Counter(_verdict(result) for result in results)
    failed = [
        f"{result.case_id}: {result.behavior.value} {result.behavior_close.value}"
        for result in results
        if _verdict(result) == "failed"
    ]
    return Tally(len(results), dict(verdicts), failed)


def _verdict(result: Any) -> str:
    if result.passed:
        return str(result.behavior.value).lower().replace("-", "_")
    if result.behavior.value == "UNIMPLEMENTED" and result.behavior_close.value == "OK":
        return "unimplemented"
    return "failed"
