"""The demo's spaces: what serves them, what is sent, what must come back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SAMPLES = HERE / "samples"
IMAGE_LINES = ("WebSocket Spaces", "Queue size 42")
SENTENCE = "my computer is connected to the internet"
FIRST_STEPS = 'three clicks from there: image-to-text, "Use a sample picture", "Submit"'
PROMPT = "The days of the week are Monday, Tuesday,"


@dataclass(frozen=True)
class DemoSpace:
    """One space of the demo."""

    name: str
    title: str
    model: str
    handler: Path
    inputs: tuple[str, ...]
    expected: Callable[[str], bool]
    prompt: str | None = None
    sample: Path | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> str:
        """What is sent, for a person."""
        return self.prompt or (self.sample.name if self.sample else "")


def _words(text: str) -> str:
    return " ".join(text.split())


SPACES = (
    DemoSpace(
        name="image-to-text",
        title="Reads the text in a picture",
        model="PP-OCRv6 (rapidocr 3.10.0)",
        handler=HERE / "image_to_text.py",
        inputs=("image",),
        expected=lambda text: _words(text) == " ".join(IMAGE_LINES),
        sample=SAMPLES / "sign.png",
    ),
    DemoSpace(
        name="audio-to-text",
        title="Writes down what is said",
        model="en-us (pocketsphinx 5.1.1)",
        handler=HERE / "audio_to_text.py",
        inputs=("audio",),
        expected=lambda text: _words(text) == SENTENCE,
        sample=SAMPLES / "sentence.wav",
    ),
    DemoSpace(
        name="prompt-to-text",
        title="Continues a prompt, word by word",
        model="gemma-3-270m q4_k_m (xllamacpp 2026.10.11549)",
        handler=HERE / "prompt_to_text.py",
        inputs=("prompt",),
        expected=lambda text: _words(text).startswith("Wednesday, Thursday, Friday"),
        prompt=PROMPT,
        parameters={"max_tokens": 24},
    ),
)
