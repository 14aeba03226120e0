"""The shape of the code that import-linter cannot see: names, sizes, and where SQL is spelled."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import agent

AGENT = Path(agent.__file__).parent
MOST_LINES = 400  # of a module
MOST_FUNCTION_LINES = 60  # what a screen shows
TABLES = (
    "events files gaps rollups error_groups group_minutes group_services archives archive_frames archive_filters"
    " archive_logs archive_chains archive_removals alert_history alert_rules alert_states alert_windows deliveries"
    " silences hook_states own_errors meta"
)
SQL_ROOMS = ("store", "query/sqlite", "query/archives")  # the store's own, and the engines


def modules():
    for path in sorted(AGENT.rglob("*.py")):
        text = path.read_text()
        yield path.relative_to(AGENT).as_posix(), text, ast.parse(text)


def test_each_public_class_has_a_name_of_its_own():
    places = defaultdict(list)
    for name, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_modules_and_functions_can_be_read():
    for name, text, tree in modules():
        assert len(text.splitlines()) <= MOST_LINES, name
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < MOST_FUNCTION_LINES, f"{name}: {node.name}"


def test_tables_are_spelled_by_the_store_and_the_engines_alone():
    statement = re.compile(rf"\b(FROM|INTO|UPDATE|JOIN) ({'|'.join(TABLES.split())})\b")
    for name, _, tree in modules():
        if name.startswith(tuple(f"{room}/" for room in SQL_ROOMS)):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "sidelog sql" not in node.value:
                assert statement.findall(node.value) == [], f"{name}:{node.lineno}"
