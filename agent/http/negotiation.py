"""What a client would like to have, by the headers of its request (RFC 9110, 12)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from agent.http.api import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping


def weights(header: str) -> dict[str, float]:
    """Of each thing in `Accept` or `Accept-Encoding` how much it is wanted; 0 where it is not."""
    found: dict[str, float] = {}
    for part in header.lower().split(","):
        name, *parameters = (word.replace(" ", "") for word in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with suppress(ValueError):
                    weight = float(parameter.removeprefix("q="))
        found[name] = max(weight, found.get(name, 0.0))
    return found


def takes_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` lets an answer be gzip."""
    wanted = weights(accepted)
    return wanted.get("gzip", wanted.get("*", 0.0)) > 0


def takes_openmetrics(accepted: str) -> bool:
    """Whether `Accept` has OpenMetrics before the text that every tool reads."""
    wanted = weights(accepted)
    asked = wanted.get("application/openmetrics-text", 0.0)
    return asked > 0 and asked >= wanted.get("text/plain", 0.0)


def takes_page(headers: Mapping[str, str], path: str) -> bool:
    """Whether what is wrong is said by a page, to a browser; programs, and who asks the API, get JSON."""
    return weights(headers.get("accept", "")).get("text/html", 0.0) > 0 and not path.startswith(PREFIX)
