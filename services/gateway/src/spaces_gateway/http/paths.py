"""Paths as they were sent: `%2F` inside a segment is part of a name, not a separator."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import Path

# Stands for a slash inside a segment between the edge and the handler; no name may hold it.
_SLASH = "\x1f"


def routed_path(raw_path: bytes) -> str:
    """The decoded path for routing, where only separators are slashes."""
    return "/".join(
        unquote(segment).replace("/", _SLASH) for segment in raw_path.decode("latin-1").split("/")
    )


def space_ref(segment: str) -> str:
    """An id, a name, or tenant/name, from one segment of a path."""
    return segment.replace(_SLASH, "/")


SpaceRef = Annotated[
    str,
    Path(
        description="The space's id, its name, or `tenant%2Fname`.",
        min_length=1,
        max_length=200,
        examples=["my-space"],
    ),
]
IdInPath = Annotated[
    str, Path(pattern="^[0-9a-z]{20,32}$", examples=["01m7yzzzwxv8wkbzbk3ds3mfve"])
]
