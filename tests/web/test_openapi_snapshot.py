from tests.openapi import SNAPSHOT, build_lines


def test_the_api_is_described_as_before() -> None:
    """A difference is a change of the API: if it is meant, run `make openapi` and commit the file."""
    assert build_lines() == SNAPSHOT.read_text().splitlines()
