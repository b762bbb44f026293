"""How leads answer a question: the same fact in the words of different people."""

from collections.abc import Callable, Mapping, Sequence

HURRY_TEXTS = ("come on, what else", "is this going to take long")


def _answer_impatiently(fact: str) -> tuple[str, ...]:
    """A burst: the fact, and that they have no time."""
    return fact, HURRY_TEXTS[len(fact) % len(HURRY_TEXTS)]


def _answer_chattily(fact: str) -> tuple[str, ...]:
    return (f"Oh, thanks for writing! My sister told me about you, she is so happy with hers. Well: {fact}. Have fun!",)


def _answer_carelessly(fact: str) -> tuple[str, ...]:
    """With two letters swapped, all small, and corrected in a second text."""
    small = fact.lower()
    if len(small) < 4:
        return (small,)
    middle = len(small) // 2
    return small[: middle - 1] + small[middle] + small[middle - 1] + small[middle + 1 :], f"*{small}"


STYLES: Mapping[str, Callable[[str], Sequence[str]]] = {
    "plain": lambda fact: (fact,),
    "impatient": _answer_impatiently,
    "chatty": _answer_chattily,
    "careless": _answer_carelessly,
    "loud": lambda fact: (f"{fact.upper()}!!!",),
}
