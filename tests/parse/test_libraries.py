"""Real libraries write the lines that are parsed: structlog, python-json-logger, loguru, ecs-logging; pino, winston, bunyan."""  # noqa: E501

from __future__ import annotations

import io
import logging
import os
import subprocess
import time

import pytest

from agent.core.fields import load_record, read_fields
from agent.core.model import FileGeneration, LineBatch
from agent.parse.decode import FileParser
from tests.needs import NODE_MODULES, needs
from tests.sources import parsing


def parse(text: str):
    """(severity, message, logger, error event) per line, after checks that hold for every library."""
    parser = FileParser(parsing())
    now = time.time_ns()
    out = parser.feed(LineBatch(FileGeneration(1, "s", "/p", 0, 0, 0), 0, text.encode(), now, final=True))
    assert out.parse_errors == {}
    assert out.raws == {}
    assert all(abs(instant - now) < 120 * 10**9 for instant in out.timestamps)
    errors = {error.index: error for error in out.errors}
    return [
        (
            out.severities[row],
            read_fields(load_record(record), parser.profile).body,
            out.loggers[row],
            errors.get(row),
        )
        for row, record in enumerate(out.records)
    ]


def failing() -> None:
    try:
        {}["a"]
    except KeyError as error:
        raise ValueError("bad") from error


def check_failure(row, kind="ValueError", message="bad"):
    severity, body, _, error = row
    assert severity == 17
    assert body.startswith("failed")
    assert (error.exception_type, error.exception_message) == (kind, message)
    assert "failing" in error.stacktrace or "at " in error.stacktrace


@pytest.mark.parametrize("tracebacks", ["text", "dict"])
def test_structlog(tracebacks):
    import structlog

    out = io.StringIO()
    render = structlog.processors.format_exc_info if tracebacks == "text" else structlog.processors.dict_tracebacks
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if tracebacks == "text" else None),
            render,
            structlog.processors.JSONRenderer(),
        ],
    ).bind(logger="shop.cart")
    logger.info("hello", a=1)
    logger.critical("dead")
    try:
        failing()
    except ValueError:
        logger.exception("failed")
    rows = parse(out.getvalue())
    assert [row[:3] for row in rows[:2]] == [(9, "hello", "shop.cart"), (21, "dead", "shop.cart")]
    check_failure(rows[2])


def stdlib_rows(formatter: logging.Formatter):
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logger = logging.Logger("shop.pay")  # noqa: LOG001 - not one that other tests see
    logger.addHandler(handler)
    logger.warning("low on %s", "disk")
    try:
        failing()
    except ValueError:
        logger.exception("failed")
    rows = parse(out.getvalue())
    assert rows[0][:3] == (13, "low on disk", "shop.pay")
    check_failure(rows[1])


@pytest.fixture
def local_is_utc(monkeypatch):
    """`asctime` is local time without an offset; the default timezone of a source is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("local_is_utc")
def test_python_json_logger():
    from pythonjsonlogger import json as json_formatter

    stdlib_rows(json_formatter.JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    stdlib_rows(json_formatter.JsonFormatter(reserved_attrs=[], timestamp=True))


def test_ecs_logging():
    import ecs_logging

    stdlib_rows(ecs_logging.StdlibFormatter())


def test_loguru():
    import loguru

    out = io.StringIO()
    logger = loguru.logger
    logger.remove()
    handler = logger.add(out, serialize=True)
    logger.success("hello")
    try:
        failing()
    except ValueError:
        logger.exception("failed")
    logger.remove(handler)
    rows = parse(out.getvalue())
    assert rows[0][:3] == (10, "hello", __name__)
    check_failure(rows[1])


# --- Node

SCRIPTS = {
    "pino": """
        const log = require('pino')({name: 'shop.pay'});
        log.info('hello'); log.fatal('dead'); log.error(new TypeError('bad'), 'failed');""",
    "winston": """
        const {createLogger, format, transports} = require('winston');
        const log = createLogger({level: 'silly', defaultMeta: {logger: 'shop.pay'},
          format: format.combine(format.timestamp(), format.errors({stack: true}), format.json()),
          transports: [new transports.Console()]});
        log.info('hello'); log.warn('dead'); log.error('failed', new TypeError('bad'));""",
    "bunyan": """
        const log = require('bunyan').createLogger({name: 'shop.pay'});
        log.info('hello'); log.fatal('dead'); log.error(new TypeError('bad'), 'failed');""",
}


@pytest.mark.parametrize("library", [pytest.param(name, marks=needs("node", name)) for name in sorted(SCRIPTS)])
def test_node(tmp_path, library):
    script = tmp_path / f"{library}.js"
    script.write_text(SCRIPTS[library])
    environ = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    done = subprocess.run(["node", script], env=environ, capture_output=True, text=True, timeout=60, check=True)
    rows = sorted(parse(done.stdout), key=lambda row: row[0])  # pino writes a fatal event before earlier ones
    assert rows[0][:3] == (9, "hello", "shop.pay")
    dead, failed = sorted(rows[1:], key=lambda row: row[1])
    assert dead[:3] == (13 if library == "winston" else 21, "dead", "shop.pay")
    check_failure(failed, "TypeError")
