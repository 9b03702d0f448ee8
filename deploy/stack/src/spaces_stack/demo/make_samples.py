"""Makes the samples again: `python -m spaces_stack.demo.make_samples` (needs Pillow, espeak-ng and sox).

The picture is drawn with Pillow's built-in font. The sentence is spoken by espeak-ng and brought to the
16 kHz that the speech model wants. Both files are committed, so that nobody needs these programs to run the demo.
"""

import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from spaces_stack.demo.catalogue import IMAGE_LINES, SAMPLES, SENTENCE

_FONT_PX = 48
_LINE_PX = 80


def main() -> None:
    """Writes sign.png and sentence.wav."""
    draw_sign(SAMPLES / "sign.png")
    speak(SAMPLES / "sentence.wav")


def draw_sign(path: Path) -> None:
    """A white sign with black words."""
    image = Image.new("L", (560, 40 + _LINE_PX * len(IMAGE_LINES)), 255)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(_FONT_PX)
    for number, line in enumerate(IMAGE_LINES):
        pen.text((30, 25 + number * _LINE_PX), line, font=font, fill=0)
    image.save(path, optimize=True)


def speak(path: Path) -> None:
    """The sentence, slowly, in the synthetic voice that this speech model understands best."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "spoken.wav"
        subprocess.run(
            ["espeak-ng", "-v", "en-us+f2", "-s", "120", "-w", str(spoken), SENTENCE], check=True
        )
        shape = ["-r", "16000", "-c", "1", "-b", "16"]
        subprocess.run(["sox", "-D", str(spoken), *shape, str(path)], check=True)


if __name__ == "__main__":
    main()
