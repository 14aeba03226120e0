"""Three examples of each command: for its `--help`, its manual page and docs/reference.md.

Each is a line for a shell, which a test executes on a machine with some history, and what it does. A new
command gets its row here.
"""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A line for a shell, and in a few words what it does."""

    line: str
    about: str


# By the command's words; "" is `sidelog` itself.
_EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("sidelog run '/var/log/shop/*.log'", "follow logs without a configuration"),
        ("sidelog query -f -p error", "follow the errors from another terminal"),
        ("sidelog -c /etc/sidelog/sidelog.yaml status", "the health of the service"),
    ),
    "run": (
        ("sidelog run '/var/log/shop/*.log'", "at once, without a configuration"),
        ("sidelog run -c sidelog.yaml", "as the configuration says"),
        ("gzip -dc old.log.gz | sidelog run - --store old.db", "what comes through a pipe, into a store of its own"),
    ),
    "check": (
        ("sidelog check", "the configuration that applies here"),
        ("sidelog check -c /etc/sidelog/sidelog.yaml --json", "another one, for a program"),
        ("sidelog check --set store.min_free=1GiB -q", "with a key overridden; only what is wrong"),
    ),
    "remove": (
        ("sidelog remove --system --dry-run", "what would go, and what would stay"),
        ("sidelog remove --system", "as root: the service; stores and archives stay"),
        ("sidelog remove --system --purge --yes", "all of it, without a question"),
    ),
    "upgrade-check": (
        ("sidelog upgrade-check -c /etc/sidelog/sidelog.yaml", "what this version would do to the service's store"),
        ("sidelog upgrade-check --store /data/sidelog.db", "to another one"),
        ("sidelog upgrade-check --json", "for a program"),
    ),
    "roll-back": (
        ("sidelog roll-back", "as root: to the version before, with the agent stopped"),
        ("sidelog roll-back --store /data/sidelog.db", "of another store"),
        ("sidelog roll-back -q", "without a word"),
    ),
    "version": (
        ("sidelog version", "the one that runs here"),
        ("sidelog version --check --url https://example.org/sidelog.json", "whether there is a newer one"),
        ("sidelog version --json", "for a program"),
    ),
    "init": (
        ("sidelog init", "write sidelog.yaml, with every key explained"),
        ("sidelog init --force logs.yaml", "another file; the old one stays as logs.yaml.old"),
        ("sidelog init --system", "what the service needs, as root"),
    ),
    "query": (
        ("sidelog query -p error -S 1h", "the errors of the last hour"),
        ("sidelog query timeout service=shop 'http.status>=500'", "all of this must hold"),
        ("sidelog query '(user=ann OR path=/var/log/shop/*) !healthcheck'", "either, and not that"),
        ("sidelog query -f '!healthcheck'", "go on with what is stored from now on"),
        ("sidelog query -S today --by logger,severity --top 10", "counts instead of events"),
        ("sidelog query -C 3 'payment failed'", "with three lines around each"),
        ("sidelog query --bundle group-7.html 7", "an error group and its lines as a file to attach"),
    ),
    "errors": (
        ("sidelog errors", "the groups, the last seen first"),
        ("sidelog errors --sort trend -n 10", "the ten that rise fastest"),
        ("sidelog errors show 7", "all about one"),
    ),
    "errors list": (
        ("sidelog errors list --state new --state regressed", "what has not been looked at"),
        ("sidelog errors list --service shop -S 24h --sort count", "the commonest of a service"),
        ("sidelog errors list -g timeout --json", "by the title, for a program"),
    ),
    "errors show": (
        ("sidelog errors show 7", "what to do, stack trace, trends, samples"),
        ("sidelog errors show 7 --json", "the same for a program"),
        ("sidelog errors show 7 --store /data/sidelog.db", "of another store"),
    ),
    "errors diff": (
        ("sidelog errors diff --after 20m", "of the last twenty minutes, beside the hour before"),
        ("sidelog errors diff --at 14:05 --before 1h --after 20m", "before and after a release"),
        ("sidelog errors diff --label service.version=1.3 --before 1d", "with a version, beside all others"),
    ),
    "errors resolve": (
        ("sidelog errors resolve 7", "mended: a later event brings it back as regressed"),
        ("sidelog errors resolve 7 -q", "without a word"),
        ("sidelog errors resolve 7 -c /etc/sidelog/sidelog.yaml", "of the service"),
    ),
    "errors reopen": (
        ("sidelog errors reopen 7", "it was not mended after all"),
        ("sidelog errors reopen 7 -q", "without a word"),
        ("sidelog errors reopen 7 -c /etc/sidelog/sidelog.yaml", "of the service"),
    ),
    "errors ignore": (
        ("sidelog errors ignore 7", "for good"),
        ("sidelog errors ignore 7 --for 2d", "until it comes back in two days or later"),
        ("sidelog errors ignore 7 --until-count 100", "until a hundred more have come"),
    ),
    "alerts": (
        ("sidelog alerts", "the rules with their live state"),
        ("sidelog alerts test error-rate -S 24h", "when a rule would have fired"),
        ("sidelog alerts silence error-rate --for 2h", "tell nobody for two hours"),
    ),
    "alerts list": (
        ("sidelog alerts list", "the rules with their live state"),
        ("sidelog alerts list --json", "for a program"),
        ("sidelog alerts list --store /data/sidelog.db", "of another store"),
    ),
    "alerts history": (
        ("sidelog alerts history", "when alerts fired and resolved, newest last"),
        ("sidelog alerts history --json", "for a program"),
        ("sidelog alerts history | grep error-rate", "those of one rule"),
    ),
    "alerts silence": (
        ("sidelog alerts silence error-rate --for 2h", "tell nobody for two hours"),
        ("sidelog alerts silence error-rate --for 30m --comment 'deploy of 4.2'", "and say why"),
        ("sidelog alerts silence disk --for 1d --author ann --comment 'disk ordered'", "in the name of another"),
    ),
    "alerts unsilence": (
        ("sidelog alerts unsilence error-rate", "one that fires still is told at once"),
        ("sidelog alerts unsilence error-rate -q", "without a word"),
        ("sidelog alerts unsilence error-rate -c /etc/sidelog/sidelog.yaml", "of the service"),
    ),
    "alerts redeliver": (
        ("sidelog alerts redeliver all", "every dead delivery, once its hook works again"),
        ("sidelog alerts redeliver 1f0c5a9be4d27a6638c0d9f1", "one of them"),
        ("sidelog alerts redeliver all -c /etc/sidelog/sidelog.yaml", "of the service"),
    ),
    "alerts send-test": (
        ("sidelog alerts send-test page", "run a hook once with an example"),
        ("sidelog alerts send-test chat -c /etc/sidelog/sidelog.yaml", "one of the service"),
        ("sidelog alerts send-test page --set hooks.page.timeout=2s", "with less time than it has"),
    ),
    "alerts run": (
        ("sidelog alerts run --engine central", "over all agents, until it is stopped"),
        ("sidelog alerts run --engine http://ch1:8123 --interval 30s", "of an address, every half minute"),
        ("sidelog alerts run --name payments -c payments.yaml", "rules of their own, beside others"),
    ),
    "alerts test": (
        ("sidelog alerts test error-rate", "by the events of the last seven days"),
        ("sidelog alerts test error-rate -S yesterday -U today", "of one day"),
        ("sidelog alerts test error-rate --explain 14:30", "why it did, or did not, at that time"),
    ),
    "status": (
        ("sidelog status", "files with their lag, rates, alerts, gaps, own errors"),
        ("sidelog status --all", "with every file"),
        ("sidelog status --json | jq .files", "for a program"),
    ),
    "sql": (
        ('sidelog sql "SELECT logger, count(*) FROM logs GROUP BY 1 ORDER BY 2 DESC"', "a table"),
        ("sidelog sql --csv 'SELECT time, message FROM logs LIMIT 100' > logs.csv", "for a spreadsheet"),
        ("sidelog sql --json --timeout 5 'SELECT * FROM error_groups'", "for a program, within five seconds"),
    ),
    "web": (
        ("sidelog web", "the store that applies here, at the address of the configuration"),
        ("sidelog web --listen 127.0.0.1:9881 --store old.db", "another store, at another address"),
        ("sidelog web --listen unix:/run/sidelog/web.sock", "for a proxy of the same machine"),
    ),
    "token": (
        ("sidelog token link --role operator", "a link that opens the pages, once, within a minute"),
        ("sidelog token create ci --expires 30d", "a token for a program; it is printed this once"),
        ("sidelog token list", "which there are"),
    ),
    "token link": (
        ("sidelog token link", "to look"),
        ("sidelog token link --role operator", "to resolve and to silence, too"),
        ("sidelog token link -c /etc/sidelog/sidelog.yaml", "of the service"),
    ),
    "token create": (
        ("sidelog token create grafana", "for a program that reads"),
        ("sidelog token create deploy --role operator", "for one that resolves and silences"),
        ("sidelog token create nightly --expires 30d", "it opens nothing after a month"),
    ),
    "token list": (
        ("sidelog token list", "names, roles, and until when"),
        ("sidelog token list --json", "for a program"),
        ("sidelog token list --utc", "with times in UTC"),
    ),
    "token revoke": (
        ("sidelog token revoke ci", "it opens nothing any more"),
        ("sidelog token revoke ci -c /etc/sidelog/sidelog.yaml", "of the service"),
        ("sidelog token revoke ci --store old.db", "of another store"),
    ),
    "token rotate-key": (
        ("sidelog token rotate-key", "every session and link ends; tokens stay"),
        ("sidelog token rotate-key -c /etc/sidelog/sidelog.yaml", "of the service"),
        ("sidelog token rotate-key --store old.db", "of another store"),
    ),
    "mcp": (
        ("sidelog mcp", "what a program that talks to a language model starts"),
        ("sidelog mcp -c /etc/sidelog/sidelog.yaml", "the store of the service"),
        ("sidelog mcp --store old.db", "a store of its own"),
    ),
    "parse": (
        ("sidelog parse /var/log/shop.log", "what was found where"),
        (r"sidelog parse --pattern '(?P<timestamp>\S+) (?P<message>.*)' shop.log", "try a pattern"),
        ("sidelog parse --format postgresql -o json shop.log.1.gz", "a named one, event by event"),
        ("journalctl -u shop -o cat | sidelog parse -", "what comes through a pipe"),
    ),
    "archive": (
        ("sidelog archive", "the archives, oldest first"),
        ("sidelog archive run --dry-run", "what would be rotated, archived and deleted, and why"),
        ("sidelog archive verify", "prove that each is whole"),
    ),
    "archive list": (
        ("sidelog archive list", "the archives, oldest first"),
        ("sidelog archive list --json", "with logs, times and digests, for a program"),
        ("sidelog archive list --store /data/sidelog.db", "of another store"),
    ),
    "archive verify": (
        ("sidelog archive verify", "read every archive; exit 1 when one is damaged or missing"),
        ("sidelog archive verify --json", "for a program"),
        ("sidelog archive verify -q || echo 'an archive is damaged'", "in a script"),
    ),
    "archive cat": (
        ("sidelog archive cat app-20261122T030405Z-7.log.zst | less", "read an archived log"),
        ("sidelog archive cat shop/app-20261122T030405Z-7.log.zst | grep -c ERROR", "by the end of its path"),
        ("sidelog archive cat app-20261122T030405Z-7.log.zst > app.log.1", "into a file"),
    ),
    "archive restore": (
        ("sidelog archive restore app-20261122T030405Z-7.log.zst /tmp/", "into a directory, under its old name"),
        ("sidelog archive restore app-20261122T030405Z-7.log.zst march.log", "as a new file"),
        ("sidelog archive restore shop/app-20261122T030405Z-7.log.zst .", "by the end of its path"),
    ),
    "archive run": (
        ("sidelog archive run", "rotate and archive what is due, without an agent"),
        ("sidelog archive run --dry-run", "only say what that would be, and why"),
        ("sidelog archive run --reindex", "make the index again from the archives"),
    ),
    "audit": (
        ("sidelog audit", "compare the store with the files that still exist"),
        ("sidelog audit --quick", "only add up the books"),
        ("sidelog audit --json | jq '.[] | select(.complete | not)'", "what differs"),
    ),
    "selftest": (
        ("sidelog selftest", "a hundred kills beside the store"),
        ("sidelog selftest --kill9 10 --dir /data", "ten, on another disk"),
        ("sidelog selftest --seed 7 --json", "a run again, for a program"),
    ),
    "backup": (
        ("sidelog backup /backup/sidelog.db", "while the agent runs"),
        ('sidelog backup "/backup/sidelog-$(date +%F).db"', "with the day in its name"),
        ("sidelog backup /var/backups/sidelog --keep 7", "store and archives, and the seven newest of them stay"),
    ),
    "restore": (
        ("sidelog restore /backup/sidelog.db", "where there is no store"),
        ("sidelog restore --force /backup/sidelog.db", "move the store that is there aside"),
        ("sidelog restore /var/backups/sidelog", "the newest of several, with its archives"),
        ("sidelog restore --store /data/sidelog.db /backup/sidelog.db", "to another place"),
    ),
    "verify": (
        ("sidelog verify", "is the store sound?"),
        ("sidelog verify --json", "for a program"),
        ("sidelog verify --repair", "save what can be read of a damaged one"),
    ),
    "forward": (
        ("sidelog forward status", "how far each target is, and what it said last"),
        ("sidelog forward schema", "make the tables in ClickHouse, for every target"),
        ("sidelog forward verify", "prove that they have what the store has"),
        ("sidelog forward backfill --since 2026-01-01", "send what only archives hold"),
        ("sidelog forward schema --target http://ch1:8123 --replicated", "on replicas, by an address"),
    ),
    "forward status": (
        ("sidelog forward status", "what waits, what was never sent"),
        ("sidelog forward status --json | jq '.[] | {name, lag_events}'", "for a program"),
        ("sidelog forward status -c /etc/sidelog/sidelog.yaml", "of another configuration"),
    ),
    "forward schema": (
        ("sidelog forward schema", "for every target, or the engine"),
        ("sidelog forward schema --target central --cluster fleet --replicated", "on the servers of a cluster"),
        ("sidelog forward schema --print | less", "see what would be made"),
    ),
    "forward backfill": (
        ("sidelog forward backfill", "all that targets never got, and archives hold"),
        ("sidelog forward backfill --target central -S 2026-01-01 -U 2026-02-01", "of a month, to one target"),
        ("sidelog forward backfill --json", "for a program"),
    ),
    "forward verify": (
        ("sidelog forward verify", "whether all is there, and what differs"),
        ("sidelog forward verify -S yesterday", "of the last hours alone"),
        ("sidelog forward verify --repair", "send what is missing, take out what is there twice"),
        ("sidelog forward verify --json | jq '.[].differences'", "for a program"),
    ),
    "explain": (
        ("sidelog explain SL401", "what it means, why it happens, what to do"),
        ("sidelog explain", "all codes"),
        ("sidelog explain | grep archive", "those about archives"),
    ),
    "completion": (
        ("sidelog completion bash > ~/.local/share/bash-completion/completions/sidelog", "for bash, from now on"),
        ("sidelog completion zsh > ~/.zfunc/_sidelog", "for zsh, with ~/.zfunc in its fpath"),
        ("sidelog completion fish > ~/.config/fish/completions/sidelog.fish", "for fish"),
    ),
}


def examples_of(path: str) -> list[Example]:
    """Those of the command with these words, such as `errors show`; none of one that is not known."""
    return [Example(*row) for row in _EXAMPLES.get(path, ())]
