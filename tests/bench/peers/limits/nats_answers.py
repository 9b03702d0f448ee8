"""Answers every NATS request with what it holds: `nats_answers.py URL`."""

import asyncio
import sys

import nats
import uvloop
from nats.aio.msg import Msg


async def main(url: str) -> None:
    """Until it is stopped."""
    connection = await nats.connect(url)

    async def answer(message: Msg) -> None:
        await connection.publish(message.reply, message.data)

    await connection.subscribe("echo", cb=answer)
    await connection.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
