"""Which addresses carriers cannot reach."""

import pytest

from app.domain.reach import find_reach_fault


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "https://localhost",
        "https://sms.localhost",
        "https://10.1.2.3",
        "https://[::1]:8000",
        "https://192.168.1.5/",
        "https://sms.corp.internal",
        "https://box.local.",
        "https://intranet",
        "",
        "http://0.0.0.0:8000",
        "https://100.64.0.1",
    ],
)
def test_an_address_of_this_machine_or_a_private_network_is_out_of_reach(url: str) -> None:
    assert "cannot reach" in (find_reach_fault(url) or "")


def test_a_public_address_is_reached_and_without_https_warned_of() -> None:
    assert find_reach_fault("https://sms.example.com") is None
    assert find_reach_fault("https://8.8.8.8") is None
    assert "over http" in (find_reach_fault("http://sms.example.com") or "")
