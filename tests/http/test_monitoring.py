"""What comes along for Prometheus and Grafana, and the page of both, against the numbers of a real agent."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml

from tests.http.scrape import families, serve_everything
from tests.http.served import free_port
from tests.http.test_metrics import FAMILIES
from tests.integration.harness import wait_until
from tests.needs import needs

ROOT = Path(__file__).parents[2]
RULES = ROOT / "etc/prometheus/sidelog.rules.yaml"
UNIT_TESTS = Path(__file__).with_name("sidelog.rules.test.yaml")
DASHBOARD = json.loads((ROOT / "etc/grafana/sidelog.json").read_text())
PAGE = (ROOT / "docs/web.md").read_text()
RUNBOOK = (ROOT / "docs/runbook.md").read_text()

# Families that no panel shows, and why.
LEFT_OUT = {
    "sidelog_forward_lag_events": "nothing is forwarded yet",
    "process_virtual_memory_bytes": "the store is mapped: it says nothing of what the agent needs",
}
NAME = re.compile(r"\b(?:sidelog|process)_[a-z_]+\b")
SELECTOR = re.compile(r"\b((?:sidelog|process)_[a-z_]+)(?:\{([^}]*)\})?")
TARGET_LABELS = {"job", "instance"}  # Prometheus gives them


@pytest.fixture(scope="module")
def told(served_box):
    """Of each sample's name its labels, as a real agent has them."""
    found: dict[str, set[str]] = {}
    for family in families(serve_everything(served_box)).values():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def shown() -> list[str]:
    """Every expression of the dashboard."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def variables() -> dict[str, dict]:
    return {one["name"]: one for one in DASHBOARD["templating"]["list"]}


def asked() -> list[str]:
    queries = [one["query"]["query"] for one in variables().values() if one["type"] == "query"]
    return [*shown(), *queries, *(rule["expr"] for rule in rules())]


# ---------------------------------------------------------------- names


def test_every_number_that_is_asked_for_is_told(told):
    for expression in asked():
        for name, selector in SELECTOR.findall(expression):
            assert name in told, expression
            assert {*re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)} <= told[name] | TARGET_LABELS, expression
        known = TARGET_LABELS.union(*(told[name] for name in NAME.findall(expression)))
        for labels in re.findall(r"\bby \(([^)]*)\)", expression):
            assert {*re.split(r",\s*", labels)} <= known, expression


def test_every_number_that_is_told_is_shown_or_left_out_for_a_reason(told):
    names = {name for expression in shown() for name in NAME.findall(expression)}
    families_shown = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in names}
    assert families_shown | LEFT_OUT.keys() == FAMILIES.keys()
    assert not families_shown & LEFT_OUT.keys()


def test_legends_and_annotations_name_labels_that_are_there(told):
    for panel in panels():
        for target in panel["targets"]:
            known = TARGET_LABELS.union(*(told[name] for name in NAME.findall(target["expr"])))
            assert {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= known, target
    for rule in rules():
        known = TARGET_LABELS.union(*(told.get(name, set()) for name in NAME.findall(rule["expr"])))
        assert {*re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))} <= known, rule


# ---------------------------------------------------------------- the dashboard


def test_the_dashboard_is_one_of_grafana():
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("sidelog", "sidelog")
    assert DASHBOARD["schemaVersion"] >= 39  # of Grafana 11
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len({*ids}) == len(ids)
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert variables()["datasource"]["type"] == "datasource"
    assert variables()["datasource"]["query"] == "prometheus"
    assert {*variables()} == {"datasource", "job", "instance", "source"}
    for panel in panels():
        assert panel["datasource"] == source
        assert [target["datasource"] for target in panel["targets"]] == [source] * len(panel["targets"])
        for target in panel["targets"]:
            assert {*re.findall(r"\$(\w+)", target["expr"])} <= {*variables(), "__rate_interval"}
            assert 'job=~"$job",instance=~"$instance"' in target["expr"]


def test_no_panel_lies_on_another():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@needs("prometheus")
def test_prometheus_understands_every_panel(tmp_path):
    values = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*", "$source": ".*"}
    written = []
    for number, expression in enumerate(shown()):
        for name, value in values.items():
            expression = expression.replace(name, value)  # noqa: PLW2901
        written.append({"record": f"panel:{number}", "expr": expression})
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": written}]}))
    done = promtool("check", "rules", "--lint-fatal", file)
    assert f"{len(written)} rules found" in done


# ---------------------------------------------------------------- the rules


def promtool(*arguments: object) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs("prometheus")
def test_the_rules_are_valid_and_fire_when_they_should():
    assert f"{len(rules())} rules found" in promtool("check", "rules", "--lint-fatal", RULES)
    assert "SUCCESS" in promtool("test", "rules", UNIT_TESTS)


def test_each_rule_is_tested_and_says_what_to_do():
    tested = UNIT_TESTS.read_text()
    titles = re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    for rule in rules():
        assert rule["alert"].startswith("Sidelog")
        assert rule["alert"] in tested
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        for part in rule["annotations"]["runbook"].split("; "):
            section, _, codes = part.partition(" ")
            assert section in anchors, rule
            assert [code for code in re.findall(r"SL\d+", codes) if code not in RUNBOOK] == []


# ---------------------------------------------------------------- the page


def test_the_table_of_the_page_has_every_metric():
    rows = re.findall(r"^\| `((?:sidelog|process)_\w+)` \| (\w+) \|([^|]*)\|([^|]+)\|$", PAGE, re.MULTILINE)
    found = {name.removesuffix("_total"): (kind, {*re.findall(r"`(\w+)`", labels)}) for name, kind, labels, _ in rows}
    wanted = {name: (kind, labels or set()) for name, (kind, labels) in FAMILIES.items()}
    assert found == wanted | {"sidelog_forward_lag_events": ("gauge", {"name"})}
    for name, kind, _, meaning in rows:
        assert name.endswith("_total") == (kind == "counter"), name
        assert meaning.strip()
    reasons = re.findall(r"`(\w+)`", next(row[3] for row in rows if row[0] == "sidelog_deliveries_total"))
    assert reasons == ["delivered", "failed", "dead"]


def scrape_configs() -> list[dict]:
    return [yaml.safe_load(text) for text in re.findall(r"```yml\n(.*?)```", PAGE, re.DOTALL)]


@needs("prometheus")
def test_prometheus_scrapes_as_the_page_says(box, tmp_path):
    """By a real one: with a token; without one it is refused. What is of the reader's machine is replaced."""
    plain, with_token = scrape_configs()
    assert plain["rule_files"] == with_token["rule_files"] == ["/usr/local/share/sidelog/prometheus/sidelog.rules.yaml"]
    box.configure(http={"public": ["health", "ready"]})
    box.serve()
    command = re.search(r"`sidelog (token create prometheus [^`]+)`", PAGE)[1]
    token = tmp_path / "token"
    token.write_text(box.say(*shlex.split(command)))
    (job,) = with_token["scrape_configs"]
    job |= {"scheme": "http", "authorization": {"credentials_file": str(token)}}
    (other,) = plain["scrape_configs"]
    assert (job["job_name"], other["job_name"]) == ("sidelog", "sidelog")
    for one in (job, other):
        one["static_configs"][0]["targets"] = [f"127.0.0.1:{box.port}"]
    file = tmp_path / "prometheus.yml"
    jobs = [job, other | {"job_name": "without"}]
    document = {"global": {"scrape_interval": "1s"}, "rule_files": [str(RULES)], "scrape_configs": jobs}
    file.write_text(yaml.safe_dump(document))
    promtool("check", "config", file)
    listen = f"127.0.0.1:{free_port()}"
    run = [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={listen}",
    ]
    with (tmp_path / "said").open("wb") as said, subprocess.Popen(run, stdout=said, stderr=said) as process:
        try:
            up = _asked(listen, 'up{job="sidelog"} == 1 and on (instance) up{job="without"} == 0')
            assert [one["metric"]["instance"] for one in up] == [f"127.0.0.1:{box.port}"]
            (ready,) = _asked(listen, "sidelog_ready")
            assert ready["value"][1] == "1"
            (family,) = (
                httpx.get(f"http://{listen}/api/v1/metadata?metric=sidelog_commit_seconds").json()["data"].values()
            )
            assert (family[0]["type"], family[0]["help"]) == ("histogram", "Duration of transactions.")
        finally:
            process.terminate()


def _asked(listen: str, expression: str) -> list[dict]:
    """The samples of an expression, once there are some."""

    def ask() -> list[dict]:
        with suppress(httpx.HTTPError):
            answer = httpx.get(f"http://{listen}/api/v1/query", params={"query": expression})
            if answer.is_success:  # it is not while it starts
                return answer.json().get("data", {}).get("result", [])
        return []

    return wait_until(ask, 60, expression)
