"""How much an upload may become when somebody opens it."""

from dataclasses import dataclass

from spaces_chassis.errors import ProblemError
from spaces_contracts.problems import Code

# Smaller ones harm nobody, however well they were packed.
FREE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class UnpackLimits:
    """The settings of the same names."""

    image_pixels: int = 100_000_000
    unpacked_bytes: int = 4096 * 1024 * 1024
    unpacked_ratio: int = 200
    nested_archives: bool = False

    def check_pixels(self, width: int, height: int) -> None:
        """Problem: file_unsafe."""
        if width * height > self.image_pixels:
            raise unsafe(
                f"The image says it has {width} x {height} pixels; {self.image_pixels} are taken.",
                max_image_pixels=self.image_pixels,
            )

    def check_unpacked(self, unpacked: int, size: int) -> None:
        """`unpacked` is what a file of `size` bytes becomes, as far as it tells. Problem: file_unsafe."""
        if unpacked > self.unpacked_bytes:
            raise unsafe(
                f"The file unpacks to {unpacked} bytes; {self.unpacked_bytes} are taken.",
                max_unpacked_bytes=self.unpacked_bytes,
            )
        if unpacked > max(FREE_BYTES, size * self.unpacked_ratio):
            raise unsafe(
                f"The file unpacks to {unpacked // max(size, 1)} times its size; "
                f"{self.unpacked_ratio} times are taken.",
                max_unpacked_ratio=self.unpacked_ratio,
            )


def unsafe(text: str, **facts: int) -> ProblemError:
    """The problem of a file that would become more than it may."""
    return ProblemError.of(Code.FILE_UNSAFE, text, **facts)
