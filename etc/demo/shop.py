"""A small web shop that does nothing but log: JSON lines as structlog writes them, to try sidelog on.

Orders come in at a few per second; now and then a payment is slow (a warning), a voucher is unknown, or something
raises and is logged with its stack trace. The file is rotated by renaming every few minutes, as logrotate does.

    python etc/demo/shop.py demo-logs [--rate 8] [--rotate-after 2000] [--seed 7] [--yesterday 400]

Nothing but the standard library; ends on SIGINT, SIGTERM, or when the process that started it is gone.
"""

# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
import os
import random
import signal
import threading
import traceback
from pathlib import Path
from typing import IO, Any

KEPT_ROTATIONS = 3
FIRST_ERROR_AT = 6  # a newcomer sees an error within the first second or two
PRODUCTS = ("teapot", "kettle", "café press", "müsli bowl", "whisk", "cast-iron pan", "保温杯")
CITIES = ("Lyon", "Köln", "Kraków", "Austin", "大阪", "São Paulo")


class PaymentError(Exception):
    """The payment provider refused."""


class Shop:
    """Produces one event after the other; deterministic for a seed but for the time."""

    def __init__(self, seed: int | None) -> None:
        self.random = random.Random(seed)  # noqa: S311  (nothing secret)
        self.orders = itertools.count(self.random.randrange(10_000, 90_000))
        self.stock = {product: self.random.randrange(3, 40) for product in PRODUCTS}

    def event(self, number: int) -> dict[str, Any]:
        """The fields of the next event, without the time."""
        trace = {
            "trace_id": f"{self.random.getrandbits(128):032x}",
            "request_id": f"r-{self.random.getrandbits(40):010x}",
        }
        draw = self.random.random()
        if number == FIRST_ERROR_AT or draw < 0.03:  # noqa: PLR2004
            return self.failure() | trace
        if draw < 0.10:  # noqa: PLR2004
            return self.warning() | trace
        order = {"id": next(self.orders), "product": self.random.choice(PRODUCTS), "city": self.random.choice(CITIES)}
        if draw < 0.55:  # noqa: PLR2004
            http = {"method": "GET", "path": f"/products/{self.random.randrange(500)}", "status": 200}
            return (
                self.base("info", "shop.http", "request served")
                | {
                    "http": http,
                    "duration_ms": round(self.random.lognormvariate(3, 0.6), 1),
                }
                | trace
            )
        if draw < 0.60:  # noqa: PLR2004
            return self.base("debug", "shop.cache", "cache miss") | {"key": f"product:{order['product']}"} | trace
        total = round(self.random.uniform(8, 240), 2)
        return (
            self.base("info", "shop.orders", "order placed")
            | {"order": order, "total": total, "currency": "EUR"}
            | trace
        )

    def warning(self) -> dict[str, Any]:
        """Something a person should look at one day."""
        if self.random.random() < 0.5:  # noqa: PLR2004
            return self.base("warning", "shop.payment", "payment provider slow") | {
                "duration_ms": self.random.randrange(900, 4_000),
                "provider": "acme-pay",
            }
        return self.base("warning", "shop.voucher", "unknown voucher") | {
            "voucher": f"SAVE{self.random.randrange(100)}"
        }

    def failure(self) -> dict[str, Any]:
        """An error with a real stack trace of one of three kinds."""
        kinds = ((self.charge, "payment failed", "shop.payment"), (self.reserve, "order failed", "shop.orders"),
                 (self.render, "unhandled exception", "shop.http"))  # fmt: skip
        call, message, logger = self.random.choice(kinds)
        try:
            call()
        except (PaymentError, LookupError, TypeError):
            return self.base("error", logger, message) | {"exception": traceback.format_exc().rstrip()}
        return self.base("info", logger, "recovered")

    def charge(self) -> None:
        """Raise as a payment client does that was cut off."""
        try:
            raise ConnectionResetError(104, "Connection reset by peer")  # noqa: TRY301
        except ConnectionResetError as error:
            message = f"acme-pay did not answer for order {next(self.orders)}"
            raise PaymentError(message) from error

    def reserve(self) -> int:
        """Raise as code does that trusts its input."""
        return self.stock[f"discontinued-{self.random.randrange(1_000)}"]

    def render(self) -> str:
        """Raise as code does that meets an unexpected None."""
        price: Any = None
        return f"{price + self.random.random():.2f}"

    @staticmethod
    def base(level: str, logger: str, event: str) -> dict[str, Any]:
        """The fields that every event has."""
        return {"level": level, "logger": logger, "event": event, "service": "shop"}


def line(fields: dict[str, Any], when: dt.datetime | None = None) -> str:
    """One event as a JSON line, the time first (default: now)."""
    stamp = (when or dt.datetime.now(dt.UTC)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return json.dumps({"timestamp": stamp} | fields, ensure_ascii=False) + "\n"


def write_yesterday(directory: Path, shop: Shop, count: int) -> None:
    """The rotated log of an hour of yesterday, and an empty one that goes on."""
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    step = dt.timedelta(hours=1) / count
    path = directory / "shop.log.1"
    path.write_text("".join(line(shop.event(number), begin + number * step) for number in range(1, count + 1)), "utf-8")
    then = (begin + dt.timedelta(hours=1)).timestamp()
    os.utime(path, (then, then))
    (directory / "shop.log").touch()


def rotate(path: Path) -> IO[str]:
    """Rename the log away, older ones too, and open it anew."""
    for number in range(KEPT_ROTATIONS, 1, -1):
        older = path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number}"))
    path.rename(path.with_name(f"{path.name}.1"))  # archived ones are gone by then
    return path.open("a", encoding="utf-8")


def main() -> None:
    """Write until told to stop."""
    parser = argparse.ArgumentParser(description="A demo service that writes JSON logs")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rate", type=float, default=8.0, help="events per second on average (default: 8)")
    parser.add_argument("--rotate-after", type=int, default=2_000, help="events after which the file is renamed away")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--yesterday", type=int, metavar="N", help="write a rotated log of N events, a day old, and end"
    )
    options = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    parent = os.getppid()
    shop = Shop(options.seed)
    options.directory.mkdir(parents=True, exist_ok=True)
    if options.yesterday:
        write_yesterday(options.directory, shop, options.yesterday)
        return
    path = options.directory / "shop.log"
    file = path.open("a", encoding="utf-8")
    for number in itertools.count(1):
        file.write(line(shop.event(number)))
        file.flush()
        if number % options.rotate_after == 0:
            file.close()
            file = rotate(path)
        if stop.wait(shop.random.expovariate(options.rate)) or os.getppid() != parent:
            break
    file.close()


if __name__ == "__main__":
    main()
