"""Logs: one JSON object a line on stderr, so that stdout holds results alone.

No secret leaves by them: `redaction` looks through each line, tracebacks and all.
"""

import json
import logging
import sys
from collections import Counter
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer

from betatrader.ops import redaction

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
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
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
    sys.excepthook = _crashed


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
    """As JSON, without the secrets: what an object prints as is looked through too."""
    try:
        data = msgspec.json.encode(event, enc_hook=str)
    except UnicodeEncodeError:  # a file's name that is no text: no line ends who writes it
        text = json.dumps(event, default=str, ensure_ascii=False, skipkeys=True)
        data = text.encode(errors="replace")
    return msgspec.json.encode(redaction.value(msgspec.json.decode(data)))


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody caught ends the process as a log line: a bare traceback may show a secret."""
    structlog.get_logger().critical("crashed", exc_info=(kind, error, trace))


class _Forward(logging.Handler):
    """What libraries log goes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, error=_error(record)
        )


def _error(record: logging.LogRecord) -> str:
    return repr(record.exc_info[1]) if record.exc_info else ""
