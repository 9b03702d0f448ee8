"""What the demo sends, and what it takes for right."""

import wave
from pathlib import Path

import pytest

from spaces_stack.demo.audio_to_text import read_wav
from spaces_stack.demo.catalogue import IMAGE_LINES, SAMPLES, SENTENCE, SPACES, DemoSpace


@pytest.mark.parametrize("demo", SPACES, ids=lambda demo: demo.name)
def test_every_space_has_a_handler_and_something_to_send(demo: DemoSpace) -> None:
    assert demo.handler.is_file()
    assert demo.prompt or (demo.sample and demo.sample.is_file())
    assert not demo.expected("something else")


def test_what_the_samples_say_is_what_is_expected() -> None:
    image, audio, prompt = SPACES
    assert image.expected("\n".join(IMAGE_LINES))
    assert audio.expected(SENTENCE)
    assert prompt.expected(" Wednesday, Thursday, Friday, Saturday")


def test_the_spoken_sample_is_what_the_model_was_trained_on() -> None:
    assert len(read_wav(SAMPLES / "sentence.wav")) > 16_000


def test_a_recording_at_another_rate_is_refused_with_what_to_send(tmp_path: Path) -> None:
    path = tmp_path / "fast.wav"
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(44_100)
        recording.writeframes(b"\0\0" * 100)
    with pytest.raises(ValueError, match="16000 Hz"):
        read_wav(path)
