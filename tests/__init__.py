"""Tests: the same room names as `app/`. Real servers, real commits; fakes only at the wire."""
