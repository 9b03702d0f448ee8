"""Problem codes: the code is API and stable, the text may change.

One table is the source of the HTTP status, the socket close code, whether a retry can help and what to do next.
It is rendered into docs/problems.md.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import Field

from spaces_contracts.message import Contract


class Code(StrEnum):
    """Everything that can be refused or go wrong, as clients see it."""

    # who you are
    UNAUTHENTICATED = "unauthenticated"
    TOKEN_INVALID = "token_invalid"
    TOKEN_REVOKED = "token_revoked"
    TOKEN_SCOPE = "token_scope"
    TOKEN_EXPIRED = "token_expired"
    TICKET_INVALID = "ticket_invalid"
    LOGIN_FAILED = "login_failed"
    LOGIN_THROTTLED = "login_throttled"
    USER_DISABLED = "user_disabled"
    REGISTRATION_CLOSED = "registration_closed"
    INVITE_INVALID = "invite_invalid"
    JOIN_TOKEN_INVALID = "join_token_invalid"
    JOIN_TOKEN_USED = "join_token_used"
    CROSS_SITE = "cross_site"
    FORBIDDEN = "forbidden"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    SIGNATURE_INVALID = "signature_invalid"
    SIGNATURE_EXPIRED = "signature_expired"
    # what you name
    TENANT_NOT_FOUND = "tenant_not_found"
    TENANT_NAME_TAKEN = "tenant_name_taken"
    KEY_NOT_FOUND = "key_not_found"
    USER_NOT_FOUND = "user_not_found"
    LOGIN_NOT_FOUND = "login_not_found"
    EMAIL_TAKEN = "email_taken"
    LAST_OWNER = "last_owner"
    SPACE_NOT_FOUND = "space_not_found"
    MULTIPLE_SPACES = "multiple_spaces"
    SPACE_NAME_TAKEN = "space_name_taken"
    SPACE_DISABLED = "space_disabled"
    REQUEST_NOT_FOUND = "request_not_found"
    CONNECTION_NOT_FOUND = "connection_not_found"
    FILE_NOT_FOUND = "file_not_found"
    # what you send
    INVALID_REQUEST = "invalid_request"
    EMPTY_PROMPT = "empty_prompt"
    INPUT_NOT_ENABLED = "input_not_enabled"
    FILE_TOO_LARGE = "file_too_large"
    FILE_TYPE_MISMATCH = "file_type_mismatch"
    FILE_NAME_UNSAFE = "file_name_unsafe"
    FILE_UNSAFE = "file_unsafe"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    MALFORMED_REQUEST = "malformed_request"
    REQUEST_TIMEOUT = "request_timeout"
    CONTENT_ENCODING_REFUSED = "content_encoding_refused"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    # what the space can do now
    WORKER_NOT_CONNECTED = "worker_not_connected"
    QUEUE_FULL = "queue_full"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    STORAGE_FULL = "storage_full"
    ALREADY_CONNECTED = "already_connected"
    # sockets
    MALFORMED_FRAME = "malformed_frame"
    FRAME_TOO_LARGE = "frame_too_large"
    UNKNOWN_FRAME_TYPE = "unknown_frame_type"
    FIRST_FRAME_TIMEOUT = "first_frame_timeout"
    UNSUPPORTED_PROTOCOL = "unsupported_protocol"
    SLOW_CONSUMER = "slow_consumer"
    HEARTBEAT_TIMEOUT = "heartbeat_timeout"
    GOING_AWAY = "going_away"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    # results and connections
    UNKNOWN_REQUEST = "unknown_request"
    SUPERSEDED = "superseded"
    KICKED = "kicked"
    # how a request ended
    HANDLER_FAILED = "handler_failed"
    HANDLER_CRASHED = "handler_crashed"
    OUTPUT_TOO_LARGE = "output_too_large"
    WORKER_LOST = "worker_lost"
    QUEUE_TIMEOUT = "queue_timeout"
    RUN_TIMEOUT = "run_timeout"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    # ours
    UNAVAILABLE = "unavailable"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True)
class Kind:
    """What is fixed about a code."""

    status: int
    title: str
    what_to_do: str
    retry: bool = False
    close: int = 4400


KINDS: dict[Code, Kind] = {
    Code.UNAUTHENTICATED: Kind(
        401, "No valid credential", "Send `Authorization: Bearer KEY` with an API key.", close=4401
    ),
    Code.TOKEN_INVALID: Kind(
        401,
        "Worker token not known",
        "Make a new worker token and put it in the token file.",
        close=4401,
    ),
    Code.TOKEN_REVOKED: Kind(
        401, "Credential was revoked", "Ask for a new credential.", close=4401
    ),
    Code.TOKEN_SCOPE: Kind(
        403, "Token does not cover this space", "Use a token made for this space.", close=4403
    ),
    Code.TOKEN_EXPIRED: Kind(
        401,
        "Credential has expired",
        "Ask for a new key; with a login, refresh it or sign in again.",
        close=4401,
    ),
    Code.LOGIN_FAILED: Kind(
        401, "Name or password is wrong", "Try again, or ask an admin to let you in."
    ),
    Code.LOGIN_THROTTLED: Kind(
        429, "Too many wrong passwords", "Wait as long as Retry-After says.", retry=True
    ),
    Code.USER_DISABLED: Kind(
        403, "User is disabled", "Ask an owner of the tenant or an admin.", close=4403
    ),
    Code.REGISTRATION_CLOSED: Kind(
        403, "Registration is closed", "Ask for an invitation and register with it."
    ),
    Code.INVITE_INVALID: Kind(
        403, "Invitation unknown, used, expired or for another email", "Ask for a new invitation."
    ),
    Code.JOIN_TOKEN_INVALID: Kind(
        403, "Join token unknown, expired or taken back", "Make a new one: `POST /api/join-tokens`."
    ),
    Code.JOIN_TOKEN_USED: Kind(
        409,
        "Join token used already",
        "It is good for one machine; if you did not use it, revoke the worker token that came of it.",
    ),
    Code.CROSS_SITE: Kind(
        403,
        "Call from a page of another site",
        "Call from the gateway's own pages, or add the page's origin to the allowed origins.",
    ),
    Code.TICKET_INVALID: Kind(
        401,
        "Ticket unknown, used or expired",
        "Ask `POST /api/ws-ticket` for a new one; it lives 30 seconds and works once.",
        close=4401,
    ),
    Code.FORBIDDEN: Kind(
        403, "Not allowed with this credential", "Use a credential that has this right.", close=4403
    ),
    Code.ORIGIN_NOT_ALLOWED: Kind(
        403,
        "Origin not allowed",
        "Add the page's origin to the gateway's allowed origins.",
        close=4403,
    ),
    Code.SIGNATURE_INVALID: Kind(
        403, "Signed address does not verify", "Use the address exactly as it was given."
    ),
    Code.SIGNATURE_EXPIRED: Kind(
        403, "Signed address has expired", "Fetch the request again for a fresh address."
    ),
    Code.TENANT_NOT_FOUND: Kind(404, "No such tenant", "List tenants with `GET /api/tenants`."),
    Code.TENANT_NAME_TAKEN: Kind(409, "Tenant name is taken", "Choose another name."),
    Code.USER_NOT_FOUND: Kind(404, "No such user", "List users with `GET /api/users`."),
    Code.LOGIN_NOT_FOUND: Kind(404, "No such login", "List logins with `GET /auth/sessions`."),
    Code.EMAIL_TAKEN: Kind(409, "Email or username is in use", "Sign in, or take another."),
    Code.LAST_OWNER: Kind(
        409, "Somebody must be able to do this", "Make another owner or admin first."
    ),
    Code.KEY_NOT_FOUND: Kind(404, "No such key or token", "List what exists first."),
    Code.SPACE_NOT_FOUND: Kind(
        404, "No such space", "List spaces with `GET /api/spaces` and check the name.", close=4404
    ),
    Code.MULTIPLE_SPACES: Kind(
        409, "Several spaces have this name", "Say `tenant/name`, or the space's id.", close=4409
    ),
    Code.SPACE_NAME_TAKEN: Kind(
        409, "Space name is taken", "Choose another name, or use the space that has it."
    ),
    Code.SPACE_DISABLED: Kind(409, "Space is disabled", "Enable the space first.", close=4409),
    Code.REQUEST_NOT_FOUND: Kind(404, "No such request", "Check the request id."),
    Code.CONNECTION_NOT_FOUND: Kind(
        404, "No such live connection", "List the space's connections."
    ),
    Code.FILE_NOT_FOUND: Kind(404, "No such file", "Upload the file first."),
    Code.INVALID_REQUEST: Kind(
        422,
        "Request does not fit the schema",
        "See `errors` for each field, and /docs for the schema.",
    ),
    Code.EMPTY_PROMPT: Kind(
        422, "Nothing to work on", "Send a prompt that is not blank, or a file."
    ),
    Code.INPUT_NOT_ENABLED: Kind(
        422,
        "Space does not take this kind of input",
        "Send only the kinds that the space lists in `inputs`.",
    ),
    Code.FILE_TOO_LARGE: Kind(
        413, "File is too large", "Send a smaller file; the message names the limit."
    ),
    Code.FILE_TYPE_MISMATCH: Kind(
        415, "File is not what it says", "Send the file with the type its content has."
    ),
    Code.FILE_NAME_UNSAFE: Kind(
        422,
        "File has a name that leads elsewhere",
        "Send the file's own name, without directories above it and control characters.",
    ),
    Code.FILE_UNSAFE: Kind(
        422,
        "File would unpack to far more than it is",
        "Send the content itself, or ask the operator for other limits; the message names them.",
    ),
    Code.CONTENT_ENCODING_REFUSED: Kind(
        415,
        "Compressed request bodies are not taken",
        "Send the body as it is, without Content-Encoding.",
    ),
    Code.PAYLOAD_TOO_LARGE: Kind(
        413, "Request body is too large", "Send large content as a file.", close=1009
    ),
    Code.HEADERS_TOO_LARGE: Kind(
        431,
        "Headers or address are too large",
        "Send at most 100 headers and 64 KiB of them, and an address of at most 16 KiB.",
    ),
    Code.MALFORMED_REQUEST: Kind(400, "Not an HTTP request", "Send HTTP/1.1."),
    Code.REQUEST_TIMEOUT: Kind(
        408, "Request came too slowly", "Send the headers at once after connecting.", retry=True
    ),
    Code.IDEMPOTENCY_KEY_REUSED: Kind(
        422, "Idempotency key was used for another body", "Use a new key for a new request."
    ),
    Code.NOT_FOUND: Kind(404, "No such page", "See /docs for what exists."),
    Code.METHOD_NOT_ALLOWED: Kind(405, "Method not allowed here", "See /docs for what exists."),
    Code.WORKER_NOT_CONNECTED: Kind(
        409,
        "Remote app not connected",
        "Start a worker for this space, or set when_offline to queue.",
        retry=True,
    ),
    Code.QUEUE_FULL: Kind(
        429, "Queue is full", "Try again later, or raise the space's max_queue.", retry=True
    ),
    Code.RATE_LIMITED: Kind(
        429,
        "Too many requests",
        "Wait as long as `Retry-After` says; an admin can raise the limit.",
        retry=True,
    ),
    Code.QUOTA_EXCEEDED: Kind(
        429,
        "Too many requests at once",
        "Wait until some have ended, or cancel some; an admin can raise the limit.",
        retry=True,
    ),
    Code.STORAGE_FULL: Kind(
        507,
        "No room for more files",
        "Files are removed some days after their upload; an admin can raise the limit.",
    ),
    Code.ALREADY_CONNECTED: Kind(
        409,
        "Space already has its workers",
        "Stop the other worker, or start with --takeover.",
        close=4409,
    ),
    Code.MALFORMED_FRAME: Kind(
        400,
        "Frame is not understood",
        "Send one JSON object with a `type` in each text frame.",
        close=4400,
    ),
    Code.FRAME_TOO_LARGE: Kind(
        413, "Frame is larger than 1 MiB", "Send large content as a file.", close=1009
    ),
    Code.UNKNOWN_FRAME_TYPE: Kind(
        400,
        "Frame type is not known",
        "See docs/messages.md for the types of this protocol version.",
        close=4400,
    ),
    Code.FIRST_FRAME_TIMEOUT: Kind(
        408,
        "No first frame within 5 seconds",
        "Send `register` or `auth` at once after connecting.",
        retry=True,
        close=4408,
    ),
    Code.UNSUPPORTED_PROTOCOL: Kind(
        400,
        "Protocol version is not supported",
        "Install the version of the agent that fits the gateway.",
        close=4406,
    ),
    Code.SLOW_CONSUMER: Kind(
        429,
        "Connection does not read fast enough",
        "Reconnect and resume from the last chunk.",
        retry=True,
        close=4429,
    ),
    Code.HEARTBEAT_TIMEOUT: Kind(
        408, "Nothing was heard on the connection", "Reconnect and resume.", retry=True, close=4408
    ),
    Code.GOING_AWAY: Kind(
        503, "Server is going away", "Reconnect after the given time.", retry=True, close=1012
    ),
    Code.TOO_MANY_CONNECTIONS: Kind(
        503,
        "Server has no room for more connections",
        "Try again later or use another gateway.",
        retry=True,
        close=1013,
    ),
    Code.UNKNOWN_REQUEST: Kind(
        404, "Request was not given to this worker", "Drop the result: it belongs to nobody here."
    ),
    Code.SUPERSEDED: Kind(
        409, "Another worker took this place", "Stop, or start again with --takeover.", close=4409
    ),
    Code.KICKED: Kind(409, "Connection was ended by an operator", "Ask the operator.", close=4403),
    Code.HANDLER_FAILED: Kind(
        500, "Handler raised an error", "Look at the message and at the worker's log."
    ),
    Code.HANDLER_CRASHED: Kind(
        500, "Handler process died", "Look at the worker's log; often memory ran out."
    ),
    Code.OUTPUT_TOO_LARGE: Kind(
        500, "Output is larger than 1 MiB", "Return large content as an output file."
    ),
    Code.WORKER_LOST: Kind(502, "Worker was lost while running", "Submit again."),
    Code.QUEUE_TIMEOUT: Kind(
        504, "Waited too long in the queue", "Add workers, or raise queue_timeout_s."
    ),
    Code.RUN_TIMEOUT: Kind(504, "Ran too long", "Raise run_timeout_s."),
    Code.TIMEOUT: Kind(504, "Total time is over", "Raise timeout_s."),
    Code.CANCELLED: Kind(409, "Request was cancelled", "Submit again if it was not meant."),
    Code.UNAVAILABLE: Kind(
        503,
        "Not accepted: a part of the service is not reachable",
        "Try again with the same idempotency key.",
        retry=True,
        close=1013,
    ),
    Code.INTERNAL_ERROR: Kind(
        500,
        "Something is wrong on the server",
        "Report it with the time and the request id.",
        retry=True,
        close=1011,
    ),
}


class Problem(Contract):
    """Why something was refused or failed: a stable code, a text for people, extra facts."""

    code: Code
    message: str = ""
    retry_after_s: float | None = None
    facts: dict[str, Any] = Field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What is fixed about the code."""
        return KINDS[self.code]
