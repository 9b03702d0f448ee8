"""Makes the command's flags from the table of settings, so that there is only one."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from spaces_worker_agent.settings import NOT_A_FLAG, PREFIX, AgentSettings


def with_flags(
    command: Callable[..., None], *, leave_out: frozenset[str] = frozenset()
) -> Callable[..., None]:
    """Gives a command `(…, **flags)` one typed parameter a setting; typer reads the signature."""
    own = [
        parameter
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    flags = [
        _parameter(name, field)
        for name, field in AgentSettings.model_fields.items()
        if name not in NOT_A_FLAG | leave_out
    ]

    def run(**values: Any) -> None:
        command(**values)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    keyword = [own_.replace(kind=inspect.Parameter.KEYWORD_ONLY) for own_ in own]
    run.__signature__ = inspect.Signature(keyword + flags)  # type: ignore[attr-defined]  # a function takes any attribute
    run.__annotations__ = {}
    return run


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    help_text = f"{field.description} [env: {PREFIX}{name.upper()}]"
    if field.default not in (None, (), False):
        help_text += f" [default: {field.default}]"
    declared = f"--{name.replace('_', '-')}"
    if name == "verbose":
        option = typer.Option(declared, "-v", help=help_text, show_default=False)
    elif field.annotation is bool:
        option = typer.Option(f"{declared}/--no-{name}", help=help_text, show_default=False)
    else:
        option = typer.Option(declared, help=help_text, show_default=False)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[_typer_type(field.annotation), option],
    )


def _typer_type(annotation: Any) -> Any:
    """The type as typer understands it. Limits and choices are checked once, by the settings."""
    plain = {bool: bool, int: int, float: float, str: str}.get(annotation)
    if plain is not None:
        return plain | None
    if get_origin(annotation) is tuple:
        return list[str] | None
    if int in get_args(annotation):
        return int | None
    if Path in get_args(annotation):
        return Path | None
    return str | None
