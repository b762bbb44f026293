"""Notes that tell in a thread who changed what. A change that the thread shows already has none: a text by the
lead such as STOP stands there itself."""

from collections.abc import Collection, Mapping, Sequence

from app.store import actors, notes
from app.store.engine import Tx
from app.store.notes import Note
from app.store.suppressions import ChangedThread
from app.store.threads import ThreadKey

MAX_QUOTED_LENGTH = 200
NAMELESS_ACTORS = {"person": "A person", "key": "An API key", "agent": "The agent", "lead": "The lead"}


def describe_status(status: str) -> str:
    return status.replace("_", " ")


async def tell_status(tx: Tx, author: str, thread: ThreadKey, status: str) -> None:
    """The author set the thread's status."""
    await tell(tx, author, thread, f"set the status to {describe_status(status)}.")


async def tell(tx: Tx, author: str, thread: ThreadKey, deed: str) -> None:
    """The author did something in the thread. `deed`: a sentence without its subject."""
    await notes.add(tx, [Note(*thread, f"{await name_author(tx, thread[0], author)} {deed}", author)])


async def tell_agent_mode(tx: Tx, author_by_thread: Mapping[ThreadKey, str], on: bool) -> None:
    """The authors switched agent mode in the threads."""
    if author_by_thread:
        names = await _name_authors(tx, {(tenant, author) for (tenant, _), author in author_by_thread.items()})
        word = "on" if on else "off"
        await notes.add(
            tx,
            [
                Note(*thread, f"{names[thread[0], author]} switched agent mode {word}.", author)
                for thread, author in author_by_thread.items()
            ],
        )


async def tell_answer(tx: Tx, author: str, thread: ThreadKey, question: str, answer: str) -> None:
    """The author answered a question for the lead."""
    text = f"{await name_author(tx, thread[0], author)} answered “{shorten(question)}” {shorten(answer)}"
    await notes.add(tx, [Note(*thread, text, author)])


async def tell_consent(tx: Tx, changed_threads: Sequence[ChangedThread]) -> None:
    """The status of threads changed with the consent of their phones."""
    threads = [thread for thread in changed_threads if not (thread.author == "lead" and thread.holds_text)]
    if threads:
        names = await _name_authors(tx, {(thread.tenant_id, thread.author) for thread in threads})
        await notes.add(
            tx,
            [
                Note(*thread.key, _describe_consent(thread, names[thread.tenant_id, thread.author]), thread.author)
                for thread in threads
            ],
        )


def _describe_consent(thread: ChangedThread, name: str) -> str:
    has_stopped = thread.status == "dnc"
    match thread.author:
        case "lead":
            return f"The lead opted {'out' if has_stopped else 'in again'} in another conversation."
        case "carrier":
            return "The carrier reports that the lead opted out."
        case _ if has_stopped:
            return f"{name} set the status to dnc."
        case _:
            return f"{name} lifted do-not-contact: the status is {describe_status(thread.status)} again."


async def name_author(tx: Tx, tenant_id: str, author: str) -> str:
    """Who it is, as a note begins."""
    return (await _name_authors(tx, {(tenant_id, author)}))[tenant_id, author]


async def _name_authors(tx: Tx, authors: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """By (tenant, author). Only people and keys have names that are looked up."""
    names: dict[tuple[str, str], str] = {}
    for tenant_id in {tenant_id for tenant_id, author in authors if author.startswith(("person:", "key:"))}:
        found_names = await actors.get_names(
            tx, tenant_id, [author for tenant, author in authors if tenant == tenant_id]
        )
        names |= {(tenant_id, author): name for author, name in found_names.items()}
    return {key: _describe_author(key[1], names.get(key)) for key in authors}


def _describe_author(author: str, name: str | None) -> str:
    kind = author.partition(":")[0]
    if name is None or kind == "agent":
        return NAMELESS_ACTORS.get(kind, "The service")
    return f"The API key {name}" if kind == "key" else name


def join_words(parts: Sequence[str]) -> str:
    """`a, b and c`; there is at least one."""
    *first_parts, last_part = parts
    return f"{', '.join(first_parts)} and {last_part}" if first_parts else last_part


def shorten(text: str) -> str:
    return text if len(text) <= MAX_QUOTED_LENGTH else f"{text[:MAX_QUOTED_LENGTH]}…"
