"""Examples and hand-made pieces of the OpenAPI document, for what FastAPI cannot read from a signature."""

from typing import Any

REQUEST_ID = "01m7yzzzwxv8wkbzbk3ds3mfve"
SPACE_ID = "01m7yzx2q8e6t1a0s4c9d7h5jk"
FILE_ID = "01m7yzz0v3n5p7r9t1w3y5z7ab"

_REQUEST = {"$ref": "#/components/schemas/RequestDocument"}
_FILE = {"$ref": "#/components/schemas/FileRef"}

_SUBMIT_JSON = {"prompt": "Write a haiku about queues.", "parameters": {"temperature": 0.7}}
_QUEUED = {
    "request_id": REQUEST_ID, "space_id": SPACE_ID, "state": "queued", "position": 3,
    "queue_size": 3, "eta_s": 4.2, "duplicate": False,
}  # fmt: skip
_SUCCEEDED = {
    "request_id": REQUEST_ID, "space_id": SPACE_ID, "state": "succeeded", "attempt": 1,
    "created_at": "2026-11-21T12:00:00Z", "started_at": "2026-11-21T12:00:00.012Z",
    "finished_at": "2026-11-21T12:00:01.512Z", "output": {"text": "First in, first served."},
    "output_files": [], "error": None, "processing_time_seconds": 1.48,
    "timestamp": "2026-11-21T12:00:01.5Z", "queue_ms": 12, "run_ms": 1500,
}  # fmt: skip
_STORED = {
    "file_id": FILE_ID, "name": "page.png", "kind": "image", "media_type": "image/png",
    "size_bytes": 48213, "url": None,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}  # fmt: skip


def body(name: str, value: Any) -> dict[str, Any]:
    """`openapi_extra` with one example of a JSON body."""
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"examples": {name: {"value": value}}}},
        }
    }


def json_answer(description: str, schema: dict[str, Any], value: Any) -> dict[str, Any]:
    """A response with an example."""
    return {
        "description": description,
        "content": {"application/json": {"schema": schema, "example": value}},
    }


_LEFT = {
    "RateLimit-Policy": {
        "description": "The limits of the tenant and key, if they have any.",
        "schema": {"type": "string"},
        "example": '"tenant";q=600;w=60',
    },
    "RateLimit": {
        "description": "What is left of them (`r`) and for how many seconds (`t`).",
        "schema": {"type": "string"},
        "example": '"tenant";r=540;t=31',
    },
}
ENDED = json_answer("It ended within `wait`.", _REQUEST, _SUCCEEDED) | {"headers": _LEFT}
ACCEPTED = json_answer("Accepted and durable.", _REQUEST, _QUEUED) | {
    "headers": {
        **_LEFT,
        "Location": {
            "description": "Where to read the request.",
            "schema": {"type": "string", "format": "uri-reference"},
        },
    }
}
STORED = json_answer("Stored.", _FILE, _STORED)
EVENTS = {
    "description": "Server-sent events until the request ends.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": (
                "event: status\ndata: "
                '{"type":"status","request_id":"01m7yzzzwxv8wkbzbk3ds3mfve","state":"running"}\n\n'
                "event: chunk\nid: 1:1\ndata: "
                '{"type":"chunk","request_id":"01m7yzzzwxv8wkbzbk3ds3mfve","attempt":1,"n":1,'
                '"data":["First"]}\n\n'
            ),
        }
    },
}
BYTES = {
    "description": "The file's bytes; 206 for a part of them.",
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
}
PART = BYTES | {"description": "The part named by Range."}

_PARTS = {"type": "array", "items": {"type": "string", "format": "binary"}}
_SUBMIT_FORM = {
    "schema": {
        "type": "object",
        "properties": {
            "prompt": {"type": "string"},
            "parameters": {"type": "string", "description": "A JSON object as text."},
            "file": _PARTS | {"description": "Files, in any number of parts of any name."},
        },
    },
    "example": {"prompt": "What does this page say?"},
}
SUBMIT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/SubmitBody"},
                "examples": {"prompt": {"value": _SUBMIT_JSON}},
            },
            "multipart/form-data": _SUBMIT_FORM,
        },
    }
}
REGISTRATION = {
    "email": "ada@example.org",
    "password": "nine sheep on a hill",
    "tenant_name": "engines",
}
PASSWORD_CHANGE = {
    "current_password": "nine sheep on a hill",
    "new_password": "ten goats in a valley",
}
JOINING = {
    "join_token": "spj_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH0NmP1e",
    "worker_token_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "worker_token_prefix": "spw_3xK9aQ",
}
_SECRET = {"type": "string", "format": "password", "maxLength": 256}


def form(properties: dict[str, Any], required: list[str], example: Any) -> dict[str, Any]:
    """`openapi_extra` for a body that is a form of either kind."""
    schema = {"type": "object", "properties": properties, "required": required}
    media = {"schema": schema, "example": example}
    content = {"application/x-www-form-urlencoded": media, "multipart/form-data": media}
    return {"requestBody": {"required": True, "content": content}}


_NAME = {"type": "string", "minLength": 1, "maxLength": 254, "description": "Email or username."}
_ADA = {"username": "ada@example.org", "password": "nine sheep on a hill"}
LOGIN_FORM = form({"username": _NAME, "password": _SECRET}, ["username", "password"], _ADA)
KEPT_LOGIN_FORM = form({"username": _NAME, "email": _NAME, "password": _SECRET}, ["password"], _ADA)
_FLAG = {"type": "string", "enum": ["on", "true", "1", "false", "0", ""]}
SPACE_FORM = form(
    {
        "name": {"type": "string", "minLength": 1, "maxLength": 64},
        "description": {"type": "string", "maxLength": 2000},
        "card_type": {"type": "string", "enum": ["websockets"]},
        "cover": {
            "type": "string",
            "description": "A file part: a PNG, JPEG or WebP picture of up to 512 KiB. Anything else is not kept.",
        },
        **{f"ws_enable_{kind}": _FLAG for kind in ("prompt", "image", "audio", "video", "file")},
    },
    ["name"],
    {"name": "poems", "card_type": "websockets", "ws_enable_prompt": "on"},
)
_RAW = {"schema": {"type": "string", "format": "binary"}}
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/octet-stream": _RAW,
        },
    }
}
COVER_BODY = {
    "requestBody": {
        "required": True,
        "content": dict.fromkeys(("image/png", "image/jpeg", "image/webp"), _RAW),
    }
}
PICTURE = {
    "description": "The picture.",
    "content": dict.fromkeys(("image/png", "image/jpeg", "image/webp"), _RAW),
}
RAW_BODY = {"requestBody": {"required": True, "content": {"application/octet-stream": _RAW}}}
