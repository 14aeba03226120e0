"""The HTML file of `query --bundle`: nothing of it is loaded from anywhere, and nothing in it acts.

What lines of logs say is text in it and nothing else: everything is escaped, control characters too, and the page's own
policy forbids scripts, pictures, addresses and all else but its one style sheet.
"""

from __future__ import annotations

import base64
import hashlib
import html
import socket
from typing import TYPE_CHECKING

from agent import __version__
from agent.core.text import counted, escape
from agent.query.fragments import flattened, severity_name
from agent.query.glance import headline
from agent.views.bundle import utc_text
from agent.views.errors import request_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.core.stored import StoredEvent
    from agent.views.bundle import Bundle

_LINE_CHARS = 2_000  # of a line in a table; the event itself has all of it
_WIDTH, _HEIGHT = 720, 90  # of a timeline, in its own units
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; overflow-wrap: anywhere }
h2 { font-size: 1.05rem; margin-top: 2rem }
pre, td { font: 13px/1.45 ui-monospace, monospace }
pre { overflow-x: auto; padding: .8rem; border: 1px solid #8886; border-radius: 4px }
table { border-collapse: collapse; width: 100% }
td { padding: .1rem .6rem .1rem 0; vertical-align: top; overflow-wrap: anywhere }
td.t, td.s { white-space: nowrap }
tr.here td { background: #e8a33d33 }
.error, .fatal { color: #c62828 } .warn { color: #b26a00 }
rect { fill: #c62828 } line { stroke: #888 } text { font-size: 11px; fill: #888 }
footer, .note { color: #777; font-size: 13px }
"""


def page(bundle: Bundle, command: str, now: int) -> bytes:
    """The file.

    Args:
        bundle: redacted.
        command: that shows the same on the machine.
        now: Unix ns.
    """
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    made = f"sidelog {__version__} on {socket.gethostname()}, {utc_text(now)}; "
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width">',
        f"<title>{_text(bundle.title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(bundle.title)}</h1>",
        *(f"<div>{_text(fact)}</div>" for fact in bundle.facts),
        *(_timeline(*timeline) for timeline in bundle.timelines),
        *(_stack(trace) for trace in bundle.traces),
        _table("Lines around it", bundle.around, bundle.here),
        _details("Events", bundle.samples),
        _table("The same trace", bundle.request, bundle.here),
        f"<footer><p>{_text(made)}<code>{_text(command)}</code></p></footer></body></html>\n",
    ]
    return "\n".join(part for part in parts if part).encode("utf-8", "backslashreplace")


def _text(text: str, keep: str = "") -> str:
    return html.escape(escape(text, keep))


def _stack(trace: str) -> str:
    from agent.group.folding import fold

    folded, count = fold(trace.rstrip("\n"))
    shown = f"<h2>Stack trace</h2><pre>{_text(folded, chr(10) + chr(9))}</pre>"
    if not count:
        return shown
    full = _text(trace.rstrip("\n"), "\n\t")
    return f"{shown}<details><summary>with {counted(count, 'frame')} of libraries</summary><pre>{full}</pre></details>"


def _timeline(heading: str, counts: Sequence[int], first: str, last: str) -> str:
    """Bars of an inline SVG, a count above 0 never without one."""
    top = max(counts, default=0)
    total = counted(sum(counts), "event")
    width = _WIDTH / max(1, len(counts))
    bars = [
        f'<rect x="{at * width:.1f}" y="{_HEIGHT - height:.1f}" width="{width * 0.85:.1f}" height="{height:.1f}">'
        f"<title>{count:,}</title></rect>"
        for at, count in enumerate(counts)
        if count and (height := max(2.0, count / top * _HEIGHT))
    ]
    return (
        f"<h2>{_text(heading)}</h2>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 18}" role="img" aria-label="{total}, at most {top:,} at a time">'
        f'<line x1="0" y1="{_HEIGHT}" x2="{_WIDTH}" y2="{_HEIGHT}"/>{"".join(bars)}'
        f'<text x="0" y="{_HEIGHT + 14}">{_text(first)}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 14}" text-anchor="end">{_text(last)}</text></svg>'
        f'<div class="note">{total}, at most {top:,} at a time</div>'
    )


def _table(heading: str, events: Sequence[StoredEvent], here: int | None) -> str:
    """Events in a row each, the one that it is about marked."""
    if not events:
        return ""
    rows = []
    for event in events:
        level = severity_name(event)
        mark = ' class="here"' if event.id == here else ""
        said = headline(event)
        said = said if len(said) <= _LINE_CHARS else said[:_LINE_CHARS] + "…"
        rows.append(
            f'<tr{mark}><td class="t">{utc_text(event.timestamp)}</td><td class="s {level.lower()}">{level or "-"}</td>'
            f"<td>{_text(event.source)}</td><td>{_text(said)}</td></tr>"
        )
    return f"<h2>{_text(heading)}</h2><table>{''.join(rows)}</table>"


def _details(heading: str, events: Sequence[StoredEvent]) -> str:
    """Events with all their fields, each to be opened."""
    parts = []
    for event in events:
        facts = " ".join(f"{name}={value}" for name, value in request_facts(event))
        fields = [("message", event.body), *flattened(event), *((key, str(one)) for key, one in event.resource.items())]
        fields.append(("place", f"{event.path}, byte {event.offset}"))
        rows = "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in fields)
        summary = f"{utc_text(event.timestamp)} {_text(event.source)}: {_text(headline(event)[:200])} {_text(facts)}"
        parts.append(f"<details><summary>{summary}</summary><table>{rows}</table></details>")
    return f"<h2>{_text(heading)}</h2>{''.join(parts)}" if parts else ""
