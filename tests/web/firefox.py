"""A real Firefox, driven by WebDriver BiDi, which it speaks itself: Playwright's Firefox is a build of its own."""

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.web.ending import ending_with_us

STARTS_WITHIN_S = 60
ANSWERS_WITHIN_S = 60
WAIT_S = 30.0  # for machines that do other things as well
CLICKABLE = """async (one) => {
  const place = () => JSON.stringify(one.getBoundingClientRect());
  one.scrollIntoView({block: 'center'});
  const before = place();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const {x, y, width, height} = one.getBoundingClientRect();
  const hit = document.elementFromPoint(x + width / 2, y + height / 2);
  return !one.matches(':disabled') && place() === before && one.contains(hit);
}"""
ENTER = "\ue006"


def firefox() -> str | None:
    """Where one is: SPACES_TEST_FIREFOX, or the system's."""
    return os.environ.get("SPACES_TEST_FIREFOX") or next(
        filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None
    )


class BidiError(Exception):
    """Firefox refused a command."""


class Firefox:
    """A session. Scripts that fail in any tab are in `errors`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []

    @classmethod
    @asynccontextmanager
    async def running(cls, program: str, profile: Path) -> AsyncIterator[Self]:
        """Starts one that has no windows; it is gone at the end."""
        process = await asyncio.create_subprocess_exec(
            *ending_with_us(signal.SIGKILL, program, "--headless", "--no-remote",
                            "--profile", str(profile), "--remote-debugging-port=0"),
            env=os.environ | {"HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        try:
            url = await asyncio.wait_for(_listening(process.stderr), STARTS_WITHIN_S)
            async with connect(f"{url}/session", max_size=None, proxy=None) as socket:
                one = cls(socket)
                hearing = asyncio.create_task(one._hear())
                rest = asyncio.create_task(process.stderr.read())  # so that it never waits for us
                await one.call("session.new", capabilities={})
                await one.call("session.subscribe", events=["log.entryAdded"])
                yield one
            await hearing
        finally:
            process.kill()
            await process.wait()
        await rest

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its result."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        return await asyncio.wait_for(answer, ANSWERS_WITHIN_S)

    async def tab(self, language: str) -> "Tab":
        """In a user context of its own: nothing is shared with other tabs."""
        user = (await self.call("browser.createUserContext"))["userContext"]
        made = await self.call("browsingContext.create", type="tab", userContext=user)
        tab = Tab(self, made["context"])
        await self.call("emulation.setLocaleOverride", locale=language, contexts=[tab.context])
        return tab

    async def _hear(self) -> None:
        async for frame in self._socket:
            said = json.loads(frame)
            if said["type"] == "event":
                entry = said["params"]
                if entry.get("type") == "javascript" and entry.get("level") == "error":
                    self.errors.append(str(entry.get("text")))
                continue
            answer = self._waiting.pop(said["id"])
            if answer.cancelled():
                continue
            if said["type"] == "error":
                answer.set_exception(BidiError(f"{said['error']}: {said['message']}"))
            else:
                answer.set_result(said["result"])


class Tab:
    """One page, as a person uses it: names are what a screen reader says."""

    def __init__(self, browser: Firefox, context: str) -> None:
        self._browser = browser
        self.context = context

    async def open(self, url: str) -> None:
        """Until it is loaded."""
        await self._browser.call(
            "browsingContext.navigate", context=self.context, url=url, wait="complete"
        )

    async def reload(self) -> None:
        """Until it is loaded again."""
        await self._browser.call("browsingContext.reload", context=self.context, wait="complete")

    async def close(self) -> None:
        """Leaves the page."""
        await self._browser.call("browsingContext.close", context=self.context)

    async def click(self, role: str, name: str) -> None:
        """With the mouse, as soon as it is there, enabled, at rest and not covered."""

        async def clickable() -> dict[str, Any] | None:
            node = await self._find(role, name)
            return node if node and await self._ask(CLICKABLE, node) else None

        try:
            node = await eventually(clickable, WAIT_S)
        except AssertionError:
            raise AssertionError(
                f"no {name} to click; the page shows: {await self.text()}"
            ) from None
        assert node is not None
        there = {"type": "element", "element": {"sharedId": node["sharedId"]}}
        await self._act(
            "pointer",
            {"type": "pointerMove", "x": 0, "y": 0, "origin": there},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        )

    async def write(self, name: str, text: str) -> None:
        """Types into a field."""
        await self.click("", name)
        keys = text.replace("\n", ENTER)
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self._act("key", *strokes)

    async def sees(self, text: str, within: str = "body", timeout_s: float = WAIT_S) -> None:
        """Waits until these words are on the page."""
        await self._becomes(lambda shown: text in shown, within, timeout_s)

    async def text(self, within: str = "body") -> str:
        """What is shown of the first such element; empty when there is none."""
        asked = "(within) => document.querySelector(within)?.innerText ?? ''"
        return str(await self._ask(asked, {"type": "string", "value": within}))

    async def is_disabled(self, role: str, name: str) -> bool:
        """Whether a control that is there takes no clicks."""
        node = await self._find(role, name)
        return (
            node is not None and await self._ask("(one) => one.matches(':disabled')", node) is True
        )

    async def _becomes(self, like: Callable[[str], bool], within: str, timeout_s: float) -> None:
        shown = ""

        async def is_so() -> bool:
            nonlocal shown
            shown = await self.text(within)
            return like(shown)

        try:
            await eventually(is_so, timeout_s)
        except AssertionError as late:
            raise AssertionError(f"{late}; the page shows: {shown}") from None

    async def _find(self, role: str, name: str) -> dict[str, Any] | None:
        called = {"role": role, "name": name} if role else {"name": name}
        wanted = {"type": "accessibility", "value": called}
        found = await self._browser.call(
            "browsingContext.locateNodes", context=self.context, locator=wanted
        )
        return next(iter(found["nodes"]), None)

    async def _ask(self, function: str, argument: dict[str, Any]) -> Any:
        answer = await self._browser.call(
            "script.callFunction",
            functionDeclaration=function,
            arguments=[argument],
            target={"context": self.context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        return answer["result"].get("value")

    async def _act(self, kind: str, *actions: dict[str, Any]) -> None:
        acting = [{"type": kind, "id": kind, "actions": list(actions)}]
        await self._browser.call("input.performActions", context=self.context, actions=acting)


async def _listening(output: asyncio.StreamReader) -> str:
    async for line in output:
        found = re.search(rb"WebDriver BiDi listening on (ws://\S+)", line)
        if found:
            return found[1].decode()
    raise AssertionError("Firefox ended before it listened")
