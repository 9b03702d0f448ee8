# mypy: ignore-errors
# (runs in the peer's own venv, whose packages are not installed in ours)
"""A worker by python-socketio: `worker.py URL SLOTS SPACE...`."""

import asyncio
import sys

import socketio


async def main(url: str, slots: int, spaces: list[str]) -> None:
    client = socketio.AsyncClient()

    @client.on("inference_request")
    async def inference_request(message):
        payload = message["payload"]
        count = (payload.get("parameters") or {}).get("tokens", 0)
        facts = {"request_id": message["request_id"], "space": message["space"]}
        for number in range(count):
            await client.emit("inference_chunk", {**facts, "data": f"token {number} "})
        await client.emit("inference_result", {**facts, "output": payload})

    await client.connect(url, transports=["websocket"])
    await client.emit("register", {"spaces": spaces, "slots": slots})
    await client.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
