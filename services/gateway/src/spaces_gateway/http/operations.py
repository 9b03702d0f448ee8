"""Declaring operations, so that none lacks its id, its problems or its examples."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Depends

from spaces_contracts.permissions import HTTP_RULES, Whose
from spaces_contracts.problems import KINDS, Code, Problem
from spaces_gateway.http.principals import caller
from spaces_gateway.http.problems import MEDIA_TYPE, problem_document

PROBLEM_SCHEMA = "#/components/schemas/ProblemDocument"
# What any call with a credential may hear.
ALWAYS = (
    Code.UNAUTHENTICATED, Code.TOKEN_REVOKED, Code.TOKEN_EXPIRED, Code.USER_DISABLED, Code.FORBIDDEN,
    Code.INVALID_REQUEST, Code.UNAVAILABLE, Code.TOO_MANY_CONNECTIONS, Code.INTERNAL_ERROR,
)  # fmt: skip
OPEN = (Code.TOO_MANY_CONNECTIONS, Code.INTERNAL_ERROR)


def problem_responses(codes: Sequence[Code]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation: one a status, with an example a code."""
    by_status: dict[int, list[Code]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {
        status: {
            "description": "; ".join(KINDS[code].title for code in sorted(found)),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": PROBLEM_SCHEMA},
                    "examples": {
                        code.value: {"$ref": f"#/components/examples/{code}"}
                        for code in sorted(found)
                    },
                }
            },
        }
        for status, found in sorted(by_status.items())
    }


def problem_examples() -> dict[str, Any]:
    """One example a code, which all operations refer to."""
    return {
        code.value: {"value": problem_document(Problem(code=code), "/api/example")} for code in Code
    }


def is_open_to_all(operation_id: str) -> bool:
    """Whether no credential is asked for. Raises LookupError."""
    rule = HTTP_RULES.get(operation_id)
    if rule is None:
        raise LookupError(f"{operation_id} has no row in the table of who may do what")
    return rule.whose in (Whose.ANYBODY, Whose.LINK)


class Operations:
    """A router whose every operation is complete."""

    def __init__(self, tag: str) -> None:
        self.router = APIRouter(tags=[tag])

    def add(
        self,
        method_and_path: str,
        endpoint: Callable[..., Any],
        *problems: Code,
        status: int = 200,
        extra: dict[str, Any] | None = None,
        guard: Callable[..., Any] | None = caller,
        **options: Any,
    ) -> None:
        """Adds `"POST /api/spaces"`; the function's name is the operationId, its docstring the summary.

        `guard` authorises each call before the function is called; None: the function does it. What the table opens
        to anybody is not guarded. Raises LookupError for an operation without a row in that table.
        """
        method, path = method_and_path.split(" ")
        operation_id = options.setdefault("operation_id", endpoint.__name__)
        is_open = is_open_to_all(operation_id)
        if guard is not None and not is_open:
            options["dependencies"] = [Depends(guard)]
        codes = [*(OPEN if is_open else ALWAYS), *problems]
        if method in ("POST", "PATCH"):
            codes.append(Code.PAYLOAD_TOO_LARGE)
        if method in ("POST", "PUT", "PATCH"):
            codes.append(Code.CONTENT_ENCODING_REFUSED)
        documented = problem_responses(codes)
        for code, response in options.pop("responses", {}).items():
            documented[code] = response
        summary, _, description = (endpoint.__doc__ or "").partition("\n")
        self.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            status_code=status,
            summary=summary.strip().rstrip("."),
            description="\n".join(line.strip() for line in description.strip().splitlines()),
            responses=documented,
            openapi_extra=extra,
            **options,
        )
