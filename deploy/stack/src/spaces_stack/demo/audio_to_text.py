"""Writes down what is said in a WAV file with PocketSphinx (US English; the model is in the wheel)."""

import wave
from pathlib import Path
from typing import Any

from spaces_worker_agent import Request

_RATE_HZ = 16_000


class Model:
    """Loaded once, then one recording after another."""

    def load(self) -> None:
        """Loads the acoustic and the language model: half a second."""
        from pocketsphinx import Decoder

        # Batch normalisation: what was said before must not change what is understood now.
        self._decoder = Decoder(samprate=_RATE_HZ, loglevel="FATAL", cmn="batch")

    def handle(self, request: Request) -> dict[str, Any]:
        """The words of the first recording."""
        if not request.files:
            raise ValueError("send a recording")
        samples = read_wav(request.files[0].path)
        request.progress(10, "listening")
        self._decoder.start_utt()
        self._decoder.process_raw(samples, full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        seconds = len(samples) / 2 / _RATE_HZ
        return {"text": heard.hypstr if heard else "", "seconds": round(seconds, 2)}


def read_wav(path: Path) -> bytes:
    """The samples of a 16-bit mono WAV at 16 kHz, which is what the model was trained on."""
    with wave.open(str(path)) as recording:
        shape = (recording.getnchannels(), recording.getsampwidth(), recording.getframerate())
        if shape != (1, 2, _RATE_HZ):
            raise ValueError(f"send a WAV file with one channel, 16 bits and {_RATE_HZ} Hz")
        samples: bytes = recording.readframes(recording.getnframes())
    return samples
