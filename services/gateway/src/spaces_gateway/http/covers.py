"""Covers of spaces over HTTP: choose one, look at it, take it away."""

from typing import Annotated

from fastapi import Header
from starlette.requests import Request
from starlette.responses import Response

from spaces_chassis.bus import Bus
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.problems import Code
from spaces_contracts.spaces import GetSpace, SetCover, Space
from spaces_gateway.files.covers import MAX_COVER_BYTES, CoverStore, no_cover, too_large
from spaces_gateway.http import examples
from spaces_gateway.http.bodies import read_body
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import SpaceRef, space_ref
from spaces_gateway.http.principals import Caller
from spaces_gateway.http.protection import download_headers
from spaces_gateway.services import Services


class CoversApi:
    """Covers over HTTP."""

    def __init__(self, services: Services) -> None:
        self._bus = services.bus
        self._access = services.access
        self._covers = services.covers

    def operations(self) -> Operations:
        """Everything about covers."""
        api = Operations("spaces")
        named = (Code.SPACE_NOT_FOUND, Code.MULTIPLE_SPACES)
        path = "/api/spaces/{space}/cover"
        api.add(
            f"PUT {path}",
            self.put_cover,
            *named,
            Code.FILE_TOO_LARGE,
            Code.FILE_TYPE_MISMATCH,
            Code.FILE_UNSAFE,
            extra=examples.COVER_BODY,
        )
        api.add(
            f"GET {path}",
            self.get_cover,
            *named,
            Code.FILE_NOT_FOUND,
            response_class=Response,
            responses={200: examples.PICTURE, 304: {"description": "It is the one you have."}},
        )
        api.add(f"DELETE {path}", self.delete_cover, *named)
        return api

    async def put_cover(self, space: SpaceRef, request: Request, actor: Caller) -> Space:
        """Give a space a cover.

        A PNG, JPEG or WebP picture as the body, of up to 512 KiB; its content says what it is.
        """
        found = await self._find(space, actor)
        try:
            data = await read_body(request, MAX_COVER_BYTES)
        except ProblemError as error:
            if error.problem.code is Code.PAYLOAD_TOO_LARGE:
                raise too_large() from None
            raise
        return await set_cover(self._bus, self._covers, actor, found, data)

    async def get_cover(
        self,
        space: SpaceRef,
        actor: Caller,
        known: Annotated[
            str | None, Header(alias="If-None-Match", description="The ETag that one has.")
        ] = None,
    ) -> Response:
        """Look at a space's cover."""
        found = await self._access.space(actor, space_ref(space))
        if found.cover is None:
            raise no_cover()
        etag = f'"{found.cover.sha256}"'
        headers = {
            **download_headers("cover"),
            "etag": etag,
            # Asked about each time: who may see the space changes.
            "cache-control": "private, no-cache",
            "vary": "Authorization",
        }
        if etag in [one.strip().removeprefix("W/") for one in (known or "").split(",")]:
            return Response(status_code=304, headers=headers)
        data = await self._covers.read(found.space_id, found.cover)
        return Response(data, headers=headers, media_type=found.cover.media_type)

    async def delete_cover(self, space: SpaceRef, actor: Caller) -> Space:
        """Take a space's cover away."""
        return await set_cover(self._bus, self._covers, actor, await self._find(space, actor), None)

    async def _find(self, space: str, actor: Principal) -> Space:
        return (await self._bus.request(GetSpace(actor=actor, ref=space_ref(space)))).space


async def set_cover(
    bus: Bus, covers: CoverStore, actor: Principal, space: Space, picture: bytes | None
) -> Space:
    """The space with another cover, or without one; what it showed before is removed."""
    cover = None if picture is None else await covers.save(space.space_id, picture)
    try:
        command = SetCover(actor=actor, space_id=space.space_id, cover=cover)
        changed = (await bus.request(command)).space
    except ProblemError as error:
        # Without an answer the space may show it already: a picture too many is nothing against one that is gone.
        if error.problem.code is not Code.UNAVAILABLE:
            await covers.remove(space.space_id, cover)
        raise
    await covers.remove(space.space_id, space.cover)
    return changed
