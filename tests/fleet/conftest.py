"""What the commands and processes of these tests run counts for coverage: most of forwarding runs in them alone. What
takes long and differs little between the two lines of servers runs on the old one in `make soak`.
"""

import pytest

MEASURED = ("test_backfill", "test_claim", "test_forwarding", "test_same_rows", "test_verify")
OLD_SERVERS_IN_SOAK = (
    "test_every_shape_of_question_has_the_rows_of_the_store",
    "test_kills_in_the_middle_lose_and_double_nothing",
    "test_many_that_race_never_hold_it_together",
    "test_questions_by_the_name_of_a_target_have_the_rows_of_the_store",
    "test_who_follows_a_leader_that_was_killed_pages_nobody_again",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "fleet" and item.path.stem in MEASURED:
            item.add_marker(pytest.mark.measured)
        name, _, parameters = item.name.partition("[")
        if name in OLD_SERVERS_IN_SOAK and "replicas" in parameters:
            item.add_marker(pytest.mark.soak)
