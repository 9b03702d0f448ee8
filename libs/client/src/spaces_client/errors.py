"""What can go wrong, as one small tree: each error has a code, a message, what to do, and whether a retry helps."""

from typing import Any

from spaces_client.models import Request
from spaces_contracts.problems import KINDS, Code


class SpacesError(Exception):
    """The root. `code` is stable; a text may change."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        what_to_do: str = "",
        retry: bool = False,
        facts: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.what_to_do = what_to_do
        self.retry = retry
        self.facts = facts or {}

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class ConfigError(SpacesError):
    """The client cannot start as it is set up."""


class Unreachable(SpacesError):
    """No answer from the gateway. `sent` is false when the request certainly never left this host."""

    def __init__(self, message: str, *, sent: bool, code: str = "unreachable") -> None:
        final = code != "unreachable"
        super().__init__(
            code,
            message,
            what_to_do=_UNREACHABLE[code],
            retry=not final,
        )
        self.sent = sent


class Refused(SpacesError):
    """The gateway answered with a problem. `status` is the HTTP status that its code stands for."""

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        kind = KINDS.get(Code(code)) if code in _CODES else None
        super().__init__(
            code,
            message or (kind.title if kind else "The gateway refused."),
            what_to_do=kind.what_to_do if kind else "",
            retry=kind.retry if kind else (status or 0) >= 500,
            facts=facts,
        )
        self.status = status or (kind.status if kind else None)
        self.retry_after_s = retry_after_s


class RequestFailed(SpacesError):
    """A request ended, and not with success; `request` is all that is known about it."""

    def __init__(self, request: Request) -> None:
        code = request.error.code if request.error else request.state.value
        message = request.error.message if request.error else ""
        kind = KINDS.get(Code(code)) if code in _CODES else None
        super().__init__(
            code,
            message or (kind.title if kind else f"The request is {request.state.value}."),
            what_to_do=kind.what_to_do if kind else "",
            retry=kind.retry if kind else False,
        )
        self.request = request


class NotFinished(SpacesError):
    """The time to wait is over and the request goes on; nothing was cancelled."""

    def __init__(self, request_id: str, waited_s: float) -> None:
        super().__init__(
            "not_finished",
            f"Request {request_id} has not finished within {waited_s:g} s.",
            what_to_do="Wait longer, or cancel it.",
            retry=True,
        )
        self.request_id = request_id


_CODES = frozenset(code.value for code in Code)
_UNREACHABLE = {
    "unreachable": "Check the URL, that the gateway runs, and HTTPS_PROXY.",
    "tls_failed": "Give the authority that signed the gateway's certificate with --ca-file or SPACES_CA_FILE.",
    "not_a_gateway": "Check the URL: something else than a gateway answers there.",
    "no_socket": "Check the URL, and that proxies in between let WebSockets through to /ws.",
    "closed": "Make a new client: this one was closed.",
}
