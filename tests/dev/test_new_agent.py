"""`agent new`: the examples of the documents, written where somebody begins an agent."""

from pathlib import Path

import pytest

from tests.test_cli import ran

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.mark.parametrize(
    ("options", "example", "runtime"),
    [
        ((), "agent.py", "python3"),
        (("--typescript",), "agent.ts", "node"),
        (("--openai",), "openai_agent.py", "OPENAI_API_KEY=… python3"),
    ],
    ids=["python", "typescript", "openai"],
)
async def test_the_example_of_the_documents_is_written_with_what_to_do_next(
    tmp_path: Path, options: tuple[str, ...], example: str, runtime: str
) -> None:
    file = tmp_path / "mine"
    status, out, err = await ran(None, "agent", "new", *options, str(file))
    assert (status, err) == (0, "")
    assert file.read_text() == (EXAMPLES / example).read_text()
    assert f"AGENT_SECRET=whsec_… {runtime} {file}" in out
    assert "-m app dev --agent http://127.0.0.1:9000/" in out


async def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text("mine")
    status, _, err = await ran(None, "agent", "new", str(file))
    assert (status, f"{file} exists" in err, file.read_text()) == (1, True, "mine")


async def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    status, _, err = await ran(None, "agent", "new", str(tmp_path / "none" / "agent.py"))
    assert (status, "No such file or directory" in err) == (1, True)
    assert len(err.splitlines()) == 1


async def test_one_language_is_chosen(tmp_path: Path) -> None:
    status, _, err = await ran(None, "agent", "new", "--typescript", "--openai", str(tmp_path / "agent"))
    assert (status, "not allowed with" in err) == (2, True)
