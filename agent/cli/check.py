"""`sidelog check`: is this configuration ready to run on this machine, for this user?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.common import config_options, echo_json, find_config, load_config, paint, safe_text, shell, use_color
from agent.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.cli.readiness import Finding

_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command(short_help="Tell whether a configuration is ready to run.")
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(config_path: Path | None, store: Path | None, overrides: tuple[str, ...], *, as_json: bool) -> int:
    """Say whether the configuration is valid and whether this machine lets the agent do what it asks.

    One line per finding, each problem with a code and a hint. Exit code 78: the configuration is wrong; 1: the
    machine is not ready; 0: nothing worse than warnings.
    """
    from agent.cli.readiness import worst

    file = find_config(config_path)
    findings = _findings(file, store, overrides)
    if as_json:
        echo_json({"ok": worst(findings) == 0, "config": file and str(file), "findings": [_row(f) for f in findings]})
    else:
        for finding in findings:
            if finding.level != "ok" or shell().verbosity >= 0:
                _print(finding)
    return worst(findings)


def _findings(file: Path | None, store: Path | None, overrides: tuple[str, ...]) -> list[Finding]:
    from agent.cli.readiness import Finding, examine, ok
    from agent.config import unsupported

    if file is None:
        message = "there is none: no -c, no SIDELOG_CONFIG, no sidelog.yaml here and none in /etc/sidelog"
        hint = "sidelog init writes one; sidelog run 'PATTERN' needs none"
        return [Finding.of(ConfigError("SL101", "read the configuration", "configuration", message, hint=hint))]
    try:
        config = load_config(file, store, overrides)
    except ConfigError as error:
        return [Finding.of(one) for one in getattr(error, "findings", (error,))]
    from agent.alert.matching import unusable

    missing = [Finding.of(error) for error in (*unsupported(config, file), *unusable(config, file))]
    return [ok(str(file), "is valid"), *_protected(file), *missing, *examine(config)]


def _protected(file: Path) -> list[Finding]:
    """Who can write the file decides which programs the agent runs."""
    import stat

    from agent.cli.readiness import warning

    if file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [warning("SL122", str(file), "can be changed by other users", f"chmod go-w {file}")]
    return []


def _row(finding: Finding) -> dict[str, str | None]:
    return {
        "level": finding.level,
        "code": finding.code or None,
        "place": finding.place,
        "sentence": finding.sentence,
        "hint": finding.hint or None,
    }


def _print(finding: Finding) -> None:
    label = " ".join(part for part in (finding.level, finding.code) if part)
    painted = paint(label, _COLORS[finding.level], enabled=use_color())
    click.echo(f"{painted}{' ' * (13 - len(label))} {safe_text(finding.place)}: {safe_text(finding.sentence)}")
    if finding.hint:
        click.echo(f"{' ' * 14}hint: {safe_text(finding.hint)}")
