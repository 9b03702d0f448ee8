"""Structured logs on standard error: an event name and its facts, as JSON or for people."""

import logging
import os
import sys
from typing import TYPE_CHECKING

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

if TYPE_CHECKING:
    from spaces_chassis.settings import LogSettings

# Keys whose values never reach a log, whoever passes them.
_SECRET_KEYS = frozenset(
    {"password", "token", "secret", "authorization", "api_key", "key", "ticket", "credential"}
)


def configure_logs(settings: "LogSettings", service: str) -> None:
    """Sets up structlog and the standard library's logging, which libraries use, the same way."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    human = settings.log_format == "human" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
        _named(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_render(human))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Their own lines repeat what our events say, and an HTTP client's would show the signature of a file's address.
    for noisy in ("uvicorn.access", "nats", "asyncio", "httpx2", "httpcore2", "websockets"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # A server that ran in this process before may have left its own level. At INFO it tells of every socket twice.
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(level if level < logging.INFO else logging.WARNING)


def _render(human: bool) -> list[Processor]:
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if human:
        colors = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        return [
            drop,
            structlog.dev.ConsoleRenderer(
                colors=colors,
                # The rich form prints local variables, and with them passwords and tokens.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    return [
        drop,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str),
    ]


def _named(service: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    return add


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key in _SECRET_KEYS & event.keys():
        event[key] = "***"
    return event
