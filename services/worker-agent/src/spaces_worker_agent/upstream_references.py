"""Addresses in a request for an upstream: who follows them calls what a client chose, from this host's network.

Model servers fetch pictures and sounds by address. Here only content is passed on (`data:`). Pure.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# Members that servers read an address from, in all dialects of the OpenAI API, and those that choose another server.
_KEY = re.compile(
    r"(^|_|[a-z])(ur[il]s?|Ur[il]s?)$|^(api_base|api_host|endpoint|callback|webhook|proxy|proxies)$"
)
_SCHEME = re.compile(
    r"\s*([a-z][a-z0-9+.-]*://|(file|https?|ftps?|sftp|s3|gs|blob):)", re.IGNORECASE
)
_DATA = re.compile(r"data:", re.IGNORECASE)
_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal", "thinking", "reasoning"})
_TEXTS = frozenset({"text", "content", "arguments", "title", "description", "name"})
MAX_DEPTH = 64


class TooDeep(ValueError):
    """A request whose members are nested deeper than any is."""


@dataclass(frozen=True)
class Reference:
    """One address, where it stands, and how to put content in its place."""

    place: str
    url: str
    put: Callable[[str], None]


def references(body: dict[str, Any]) -> list[Reference]:
    """All addresses in a request that are not content themselves. Raises TooDeep."""
    return list(_walk(body, "", part=False, depth=0))


def _walk(node: Any, place: str, *, part: bool, depth: int) -> Iterator[Reference]:
    if depth > MAX_DEPTH:
        raise TooDeep("the request is nested too deep")
    if isinstance(node, dict):
        inside = part or _is_media_part(node, place)
        for key, value in node.items():
            named = isinstance(key, str) and _KEY.search(key) is not None
            yield from _look(node, key, value, f"{place}/{key}", named, inside, depth)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _look(node, index, value, f"{place}/{index}", False, part, depth)


def _look(  # noqa: PLR0913  # one step of a walk
    holder: Any, key: Any, value: Any, place: str, named: bool, part: bool, depth: int
) -> Iterator[Reference]:
    if not isinstance(value, str):
        if named and isinstance(value, list):
            for index, one in enumerate(value):
                yield from _look(value, index, one, f"{place}/{index}", True, part, depth + 1)
        else:
            yield from _walk(value, place, part=part, depth=depth + 1)
    elif value and not _DATA.match(value) and (named or (part and _is_address(key, value))):
        yield Reference(place, value, lambda content: holder.__setitem__(key, content))


def _is_address(key: Any, value: str) -> bool:
    return key not in _TEXTS and _SCHEME.match(value) is not None


def _is_media_part(node: dict[Any, Any], place: str) -> bool:
    """A part of a message's content that is no text."""
    return (
        place.startswith("/messages/")
        and isinstance(node.get("type"), str)
        and node["type"] not in _TEXT_PARTS
    )
