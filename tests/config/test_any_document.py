"""Whatever a file, a variable or an option says: a configuration, or findings. Never another exception."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Config, load
from agent.config.schema import WHEN_FORMS, HookConfig, RuleConfig, SourceConfig, StoreConfig
from agent.core.errors import SidelogError

KEYS = ["", "x", *Config.__struct_fields__, *WHEN_FORMS, "min", "start", "env", "file"]
for _struct in (StoreConfig, SourceConfig, RuleConfig, HookConfig):
    KEYS += _struct.__struct_encode_fields__
WORDS = [
    "",
    "5m",
    "1GiB",
    "5%",
    "4x",
    "1/s",
    "auto",
    "off",
    "end",
    "UTC",
    "(",
    "/x",
    "~/y",
    "a b",
    "http://x",
    "7",
    "\0",
    "ö",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "store": st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4) | VALUES,
        "sources": st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6) | VALUES, max_size=3) | VALUES,
        "alerts": st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6) | VALUES, max_size=3) | VALUES,
        "hooks": st.dictionaries(st.sampled_from(["a", "b c"]), VALUES, max_size=2) | VALUES,
        "archive": st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3) | VALUES,
        "http": VALUES,
    },
)
OVERRIDES = st.lists(
    st.tuples(
        st.lists(st.sampled_from([*KEYS, "0", "1", "9"]), min_size=1, max_size=4),
        st.sampled_from([*WORDS, "[", "{a: 1}", "[x]"]),
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, OVERRIDES, OVERRIDES)
def test_a_configuration_or_findings(document, variables, sets):
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "a.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        environ = {"SIDELOG_" + "__".join(path).upper(): value for path, value in variables}
        try:
            config = load(file, overrides=[f"{'.'.join(path)}={value}" for path, value in sets], environ=environ)
        except SidelogError as error:
            found = getattr(error, "findings", (error,))
            assert all(one.code.startswith("SL") and one.message for one in found)
        else:
            assert all(source.include and source.name for source in config.sources)
            assert all(rule.when.form for rule in config.alerts)
