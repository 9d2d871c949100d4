"""Logs: one JSON object a line on stderr, so that stdout holds results alone."""

import logging
import sys
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str, *, role: str, version: str, instance: str) -> None:
    """Set the process's logging up; later calls of `structlog.get_logger` follow it.

    Every line has a trace: that of the message or the job's run that it is about, else the
    process's own.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _count,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.dict_tracebacks,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(
        role=role, version=version, instance=instance, trace=instance
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward()], force=True)


_told = Counter[str]()


def errors_told() -> int:
    """How many lines of level error or worse this process has logged."""
    return _told["error"] + _told["critical"]


def _count(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    _told[event["level"]] += 1
    return event


def _render(_logger: object, _name: str, event: MutableMapping[str, Any]) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)


class _Forward(logging.Handler):
    """What libraries log goes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, error=_error(record)
        )


def _error(record: logging.LogRecord) -> str:
    return repr(record.exc_info[1]) if record.exc_info else ""
