"""The parts of the suite, each in a process of its own and several at once: `python -m tests.support.suite PART...`.

Most of a part is waiting for real servers. What a part prints comes whole when it ends. After a failure nothing new
begins, what runs is awaited, and the exit status is 1.
"""

import argparse
import asyncio
import sys
import time


async def run(parts: list[str], at_once: int) -> list[str]:
    """The parts that failed, and those that were then never begun."""
    waiting = list(reversed(parts))
    failed: list[str] = []

    async def lane() -> None:
        while waiting and not failed:
            part = waiting.pop()
            if not await _passes(part):
                failed.append(part)

    await asyncio.gather(*(lane() for _ in range(at_once)))
    for part in reversed(waiting):
        print(f"== {part}: not run", flush=True)
    return failed + waiting


async def _passes(part: str) -> bool:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", part),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    print(f"== {part} ({time.monotonic() - began:.0f} s)", flush=True)
    sys.stdout.buffer.write(output)
    sys.stdout.flush()
    return process.returncode == 0


def main() -> int:
    """1 when a part failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", metavar="PART")
    parser.add_argument("--at-once", type=int, default=2)
    arguments = parser.parse_args()
    began = time.monotonic()
    failed = asyncio.run(run(arguments.parts, arguments.at_once))
    verdict = f"failed: {', '.join(failed)}" if failed else "all passed"
    print(f"== {len(arguments.parts)} parts in {time.monotonic() - began:.0f} s, {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
