"""Reading what the gateway answered."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from spaces_client.errors import Unreachable

M = TypeVar("M", bound=BaseModel)


def parsed(model: type[M], answer: Any, wrapped_in: str | None = None) -> M:
    """An answer as a model, also when it lies one level down under its own name. Raises Unreachable."""
    if wrapped_in is not None and isinstance(answer, dict) and wrapped_in in answer:
        answer = answer[wrapped_in]
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unreachable(
            f"The gateway's answer is not a {model.__name__}: {where}: {first['msg']}.",
            sent=True,
            code="not_a_gateway",
        ) from None
