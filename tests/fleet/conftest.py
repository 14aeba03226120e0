"""What the commands and processes of these tests run counts for coverage: most of forwarding runs in them alone. What
takes long and differs little between the two lines of servers runs on the old one in `make soak`. Tests that ask
servers come first, so that few of the processes start servers, and no long test is left for the end.
"""

import pytest

MEASURED = ("test_backfill", "test_claim", "test_forwarding", "test_same_rows", "test_verify")
OLD_SERVERS_IN_SOAK = (
    "test_every_shape_of_question_has_the_rows_of_the_store",
    "test_kills_in_the_middle_lose_and_double_nothing",
    "test_many_that_race_never_hold_it_together",
    "test_questions_by_the_name_of_a_target_have_the_rows_of_the_store",
    "test_two_clones_at_the_same_time_lose_and_overwrite_nothing",
    "test_who_follows_a_leader_that_was_killed_pages_nobody_again",
)
SERVERS = {
    "modern",
    "replicas",
    "shards",
    "database",
    "small_disk",
    "modern_server",
    "replicas_cluster",
    "shards_cluster",
}


def pytest_collection_modifyitems(items):
    for item in items:
        name, _, parameters = item.name.partition("[")
        is_old = "replicas" in parameters
        if item.path.parent.name == "fleet" and item.path.stem in MEASURED and not is_old:
            item.add_marker(pytest.mark.measured)
        if is_old and name in OLD_SERVERS_IN_SOAK:
            item.add_marker(pytest.mark.soak)
    items.sort(key=lambda item: SERVERS.isdisjoint(getattr(item, "fixturenames", ())))
