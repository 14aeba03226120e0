"""What a client's headers say that it would like to have."""

import pytest

from agent.http.negotiation import takes_gzip, takes_openmetrics, takes_page


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.8", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("identity, *;q=0", False),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0.0", False),
        ("gzip; q=0", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("br", False),
        ("", False),
    ],
)
def test_an_answer_is_gzip_where_the_client_takes_it(accepted, takes):
    assert takes_gzip(accepted) is takes


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("application/openmetrics-text; version=1.0.0", True),
        ("application/openmetrics-text;q=0.5, text/plain;q=0.2", True),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("text/plain, */*", False),
        ("application/openmetrics-text;q=nonsense", True),
    ],
)
def test_openmetrics_goes_to_who_wants_it_most(accepted, takes):
    assert takes_openmetrics(accepted) is takes


@pytest.mark.parametrize(
    ("accepted", "path", "takes"),
    [
        ("text/html,application/xhtml+xml;q=0.9", "/logs", True),
        ("text/html", "/api/v1/query", False),
        ("text/html;q=0, application/json", "/logs", False),
        ("*/*", "/logs", False),
        ("", "/logs", False),
    ],
)
def test_a_browser_gets_a_page_and_a_program_json(accepted, path, takes):
    assert takes_page({"accept": accepted}, path) is takes
