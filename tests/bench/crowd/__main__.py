"""The crowd's own process: a Plan as JSON on standard input, then what to do, line by line; an answer to each."""

import asyncio
import gc
import json
import sys

import uvloop

from tests.bench.crowd.crowd import Crowd, Plan


async def run() -> None:
    """Until standard input ends."""
    facts = json.loads(sys.stdin.readline())
    crowd = Crowd(Plan(**{**facts, "space_ids": tuple(facts["space_ids"])}))
    gc.freeze()
    gc.disable()  # a collection would show in the percentiles
    while line := await asyncio.to_thread(sys.stdin.readline):
        do, arguments = json.loads(line)
        answer = await getattr(crowd, do)(**arguments)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(run())
