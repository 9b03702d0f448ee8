"""Showing a request while it runs: a line that moves on a terminal, plain lines elsewhere, documents for programs."""

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from spaces_client.commands import wording
from spaces_client.commands.output import Output
from spaces_client.resume import Event
from spaces_contracts.client_socket import (
    ChunkFrame,
    FinishedFrame,
    ProgressFrame,
    ResetFrame,
    StatusFrame,
)


class LiveView:
    """Shows one request's events. `shown` is whether the output already stands on standard output."""

    def __init__(self, out: Output, *, stream_text: bool = True, events: bool = False) -> None:
        self._out = out
        # Into a pipe goes the final output only: a reset could not take back what was written.
        self._stream_text = stream_text and out.data.is_terminal and not out.as_json
        self._events = events and out.as_json
        self._bar: Progress | None = None
        self._said: str | None = None
        self._open_line = False
        self.shown = False

    def __enter__(self) -> Self:
        if self._out.live:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                console=self._out.messages,
                transient=True,
            )
            self._task = self._bar.add_task("submitting", total=None)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_bar()
        self._end_line()

    def show(self, event: Event) -> None:
        """Shows one event."""
        if self._events:
            self._out.document(event)
            self.shown = True
        elif isinstance(event, ChunkFrame):
            self._show_chunk(event)
        elif isinstance(event, StatusFrame) and event.state.terminal:
            return  # the end follows, after the output that led to it
        elif not self._out.as_json:
            self._show_line(event)

    def void(self) -> None:
        """No more events come, and what was shown is not the whole."""
        self._stop_bar()
        self._end_line()
        self.shown = False

    def _show_chunk(self, chunk: ChunkFrame) -> None:
        text = wording.text_of(chunk)
        if not self._stream_text or text is None:
            return
        self._stop_bar()
        self._out.text(text, end="")
        self.shown, self._open_line = True, not text.endswith("\n")

    def _show_line(self, event: Event) -> None:
        if isinstance(event, ResetFrame):
            self._end_line()
            self.shown = False
        line = wording.of_event(event)
        if line is None:
            return
        if isinstance(event, FinishedFrame):
            self._stop_bar()
            self._end_line()
            self.shown = self.shown and event.recovered
        if self._bar is not None:
            percent = event.percent if isinstance(event, ProgressFrame) else None
            total = None if percent is None else 100.0
            self._bar.update(self._task, description=line, completed=percent or 0, total=total)
        elif line != self._said and not self._open_line:
            self._said = line
            self._out.say(line, style="dim")

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _end_line(self) -> None:
        if self._open_line:
            self._out.text("")
            self._open_line = False
