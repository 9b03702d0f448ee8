"""Finds and loads what the person named: `module.py`, `module.py:name` or `package.module:name`."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

DEFAULT_NAMES = ("handler", "Model")


class TargetError(Exception):
    """The target does not name a handler; the text says what to write instead."""


class LoadFailed(Exception):
    """The module or the model's `load()` raised."""


def split_target(target: str) -> tuple[str, str | None]:
    """Module (a path or a dotted name) and the name inside it, if one was given."""
    module, colon, name = target.rpartition(":")
    if not colon or "/" in name or "\\" in name:
        module, name = target, ""
    if not module:
        raise TargetError(f"{target!r} names no module; write module.py or package.module:handler")
    return module, name or None


def is_path(module: str) -> bool:
    """Whether the module is meant as a file."""
    return module.endswith(".py") or "/" in module


def check_target(target: str) -> None:
    """What can be known without running foreign code. Raises TargetError."""
    module, name = split_target(target)
    if name is not None and not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{name!r} in {target!r} is not a name")
    if is_path(module):
        if not Path(module).is_file():
            raise TargetError(f"No file {module!r} in {Path.cwd()}; check the path.")
    elif not all(part.isidentifier() for part in module.split(".")):
        raise TargetError(
            f"{module!r} is neither a .py file nor a dotted module name; write module.py[:handler]."
        )


def load_target(target: str) -> Callable[..., Any]:
    """The callable to run per request; a class is made once. Raises TargetError or whatever the code raises."""
    module_name, name = split_target(target)
    module = _import(module_name)
    found = _pick(module, name, target)
    if inspect.isclass(found):
        return _from_class(found, target)
    if not callable(found):
        raise TargetError(f"{target}: {type(found).__name__} is not callable")
    return found  # type: ignore[no-any-return]  # foreign code: its return is checked when it runs


def load_method(found: Callable[..., Any]) -> Callable[[], Any] | None:
    """The `load` of the object that a handler method belongs to."""
    owner = getattr(found, "__self__", None)
    load = getattr(owner, "load", None)
    return load if callable(load) else None


def is_async(handler: Callable[..., Any]) -> bool:
    """Whether one process can run many of its requests at a time.

    True for an async function or generator; a class or function may say otherwise with an attribute `concurrent`.
    """
    said = getattr(getattr(handler, "__self__", handler), "concurrent", None)
    if isinstance(said, bool):
        return said
    call = getattr(handler, "__call__", None)  # noqa: B004  # an object may have an async one
    return any(
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        for function in (handler, call)
    )


def _import(module_name: str) -> ModuleType:
    if not is_path(module_name):
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and (module_name + ".").startswith(error.name + "."):
                raise TargetError(
                    f"No module {module_name!r}; run in the directory that has it, or install it."
                ) from None
            raise
    path = Path(module_name).resolve()
    if not path.is_file():
        raise TargetError(f"No file {module_name!r}; check the path.")
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{module_name!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that pickling and dataclasses find it
    spec.loader.exec_module(module)
    return module


def _pick(module: ModuleType, name: str | None, target: str) -> Any:
    if name is None:
        for default in DEFAULT_NAMES:
            if hasattr(module, default):
                return getattr(module, default)
        raise TargetError(
            f"{target} has neither `handler` nor `Model`; name one: {target}:your_function"
        )
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = sorted(
                word
                for word, value in vars(module).items()
                if not word.startswith("_") and callable(value)
            )
            raise TargetError(f"{target}: no {part!r} there; it has: {', '.join(public) or '-'}")
        found = getattr(found, part)
    return found


def _from_class(found: type, target: str) -> Callable[..., Any]:
    if not callable(getattr(found, "handle", None)):
        raise TargetError(f"{target} is a class without handle(self, request)")
    handle: Callable[..., Any] = found().handle
    return handle
