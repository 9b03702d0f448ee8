"""Python client of a WebSocket Spaces gateway."""

from spaces_client.client import AsyncSpaces
from spaces_client.errors import (
    ConfigError,
    NotFinished,
    Refused,
    RequestFailed,
    SpacesError,
    Unreachable,
)
from spaces_client.models import Request, RequestPage
from spaces_client.resume import Event
from spaces_client.sync import Spaces
from spaces_contracts.client_socket import (
    After,
    ChunkFrame,
    FinishedFrame,
    ProgressFrame,
    ResetFrame,
    SpaceFrame,
    StatusFrame,
)
from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.requests import RequestState
from spaces_contracts.spaces import Space, SpacePolicy

__all__ = [
    "After",
    "AsyncSpaces",
    "ChunkFrame",
    "ConfigError",
    "Event",
    "FileRef",
    "FinishedFrame",
    "InputKind",
    "NotFinished",
    "ProgressFrame",
    "Refused",
    "Request",
    "RequestFailed",
    "RequestPage",
    "RequestState",
    "ResetFrame",
    "Space",
    "SpaceFrame",
    "SpacePolicy",
    "Spaces",
    "SpacesError",
    "StatusFrame",
    "Unreachable",
]
