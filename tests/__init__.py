"""Tests: the same room names as `app/`. Real servers, real commits; fakes only at the wire."""

import pytest

# What a helper asserts is told in full when it fails, as in a test itself.
pytest.register_assert_rewrite("tests.faults", "tests.makers", "tests.web.people", "tests.world")
