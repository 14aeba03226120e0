"""What Prometheus has of an agent: a scrape, read by the parsers of prometheus_client."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.integration.harness import events, wait_until

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from tests.http.served import ServedBox

# As Prometheus 2.42 and 3 ask.
_ACCEPT_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
_ACCEPT_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
ACCEPTS = (_ACCEPT_2, _ACCEPT_3)


def families(box: ServedBox, accept: str = ACCEPTS[0]) -> dict[str, Metric]:
    """Every family of a scrape, by its name."""
    answer = httpx.get(f"{box.base}/metrics", headers={"Accept": accept}, timeout=30)
    assert answer.status_code == 200, answer.text
    read = read_openmetrics if "openmetrics" in answer.headers["Content-Type"] else read_text
    return {family.name: family for family in read(answer.text)}


class Scrape(dict):
    """Name and labels in their order -> value: `scrape["sidelog_gap_bytes_total", "app", "hole"]`."""

    LABELS = ("source", "rule", "hook", "reason", "result", "code", "le")

    def __init__(self, box: ServedBox) -> None:
        super().__init__()
        for family in families(box).values():
            for sample in family.samples:
                values = [sample.labels[name] for name in self.LABELS if name in sample.labels]
                assert len(values) == len(sample.labels), sample
                self[(sample.name, *values)] = sample.value

    def by(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of a name, by their labels."""
        return {key[1:]: value for key, value in self.items() if key[0] == name}


def wait_for(box: ServedBox, name: str, *labels: str, value: float) -> Scrape:
    """The first scrape in which a sample has this value."""
    found = Scrape(box)

    def reached() -> bool:
        nonlocal found
        found = Scrape(box)
        return found.get((name, *labels)) == value

    wait_until(reached, 60, f"{name}{labels} of {value}")
    return found


def serve_everything(box: ServedBox) -> ServedBox:
    """An agent that has something to say in every family, and that has said it: two rules that fire, a hook that works
    and one that never does, gaps, lines that cannot be parsed, a line without its end, and an archive.
    """
    rules = [
        {"name": "many", "match": "severity>=error", "when": {"count": 3}, "window": "1h", "hooks": ["works"]},
        {"name": "each", "match": "severity>=error", "when": {"count": 1}, "per": ["n"], "hooks": ["fails"]},
    ]
    hooks = {"works": {"exec": ["/bin/true"]}, "fails": {"exec": ["/bin/false"], "retries": 0}}
    archive = {"quiet": "0s", "retention": {"age": "52w"}}
    box.configure(more={"alerts": rules, "hooks": hooks, "archive": archive}, max_line="1000B")
    (box.logs / "app.log.1.gz").write_bytes(gzip.compress(events(0, 50)))
    data = events(0, 20) + events(100, 6, level="error") + b"no JSON\n" + b"y" * 5_000 + b"\n" + bytes(100)
    box.log.write_bytes(data + events(200, 4) + b'{"level": "info", "message": "not ended')
    box.serve()
    wait_for(box, "sidelog_hook_circuit_open", "fails", value=1)
    wait_for(box, "sidelog_gap_bytes_total", "app", "hole", value=100)  # such are waited for, for three seconds
    wait_for(box, "sidelog_archive_files", "app", value=1)
    wait_for(box, "sidelog_deliveries_total", "works", "delivered", value=1)
    return box
