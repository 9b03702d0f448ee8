"""A small OpenAI-compatible server over real HTTP: chat completions, streamed and whole, and its ways to fail."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class OpenAiServer(ThreadingHTTPServer):
    """Remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.models = ["tiny", "other"]
        self.redirect: str | None = None
        self.key = ""
        self.go_on = threading.Event()
        self.hung_up = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: OpenAiServer

    def do_GET(self) -> None:
        if self.server.key and self.headers.get("Authorization") != f"Bearer {self.server.key}":
            self._answer(401, {"error": {"message": "wrong key"}})
            return
        self._answer(200, {"data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        if self.server.redirect is not None:
            self.send_response(307)
            self.send_header("Location", self.server.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        prompt = body["messages"][-1]["content"]
        if prompt == "refuse":
            self._answer(400, {"error": {"message": "context is too long"}})
        elif body["stream"]:
            self._stream(prompt)
        else:
            message = {"role": "assistant", "content": f"You said {prompt}."}
            choice = {"message": message, "finish_reason": "stop"}
            self._answer(200, {"choices": [choice], "usage": {"total_tokens": 5}})

    def _stream(self, prompt: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant"}}]})
        for word in ("You ", "said ", f"{prompt}."):
            self._event({"choices": [{"delta": {"content": word}}]})
        if prompt == "break":
            return
        if prompt == "fail":
            self._event({"error": {"message": "out of blocks"}})
            return
        if prompt == "endless":
            try:
                while not self.server.go_on.wait(0.01):
                    self._event({"choices": [{"delta": {"content": "x"}}]})
            except OSError:
                self.server.hung_up.set()
            return
        self._event({"choices": [], "usage": {"total_tokens": 3}})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, document: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")
        self.wfile.flush()

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def openai_server() -> Iterator[OpenAiServer]:
    server = OpenAiServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
