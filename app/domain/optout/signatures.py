"""What stands under a text and wishes nothing: courtesy, a name, an address, the line of a device."""

import re
from collections.abc import Sequence

from app.domain.optout.folding import fold_text
from app.domain.optout.lexicon import find_meanings
from app.domain.optout.lists import read_lists, read_phrases
from app.domain.optout.spelling import split_words

SIGNATURE_MARKS = "-–—~^*_= "
COURTESY = read_phrases("phrases.txt")["COURTESY"]
SIGNATURE_START = re.compile(
    r"(?:sent (?:from|via)|get outlook|enviado (?:desde|do|via)|envoy[eé] (?:de|depuis)|from:|de:)",
    re.IGNORECASE,
)
CONTACT_PATTERN = re.compile(r"@\w+\.\w|https?://|www\.|\d{3}\W{0,2}\d{4}|\b\w+\.(?:com|net|org)\b", re.IGNORECASE)
PHONE_PATTERN = re.compile(r"[,\s]+[+(]*\d(?:[\s().-]{0,2}\d){6,14}$")
"""Behind a name: John Smith, 555-1234."""
SEPARATOR_PATTERN = re.compile(r"\s[-–—~|]+\s?|\s?[-–—~|]+\s|\s*\(")
DEVICE_PATTERN = re.compile(
    r"(?:(?:^|[\n\-–—~|(*]|(?<=[,.!?;:]))\s*|(?P<blank>\s+))"
    r"(?:sent (?:from|via|with|using)|get outlook for|enviado (?:desde|do|de|via|pelo|con)|envoy[eé] (?:de|depuis|via)"
    r"|gesendet von|inviato da)\b[^\n]{0,50}?\b(?:[\w-]*phones?|ipad|ipod|galaxy|pixel|android|samsung|tablet"
    r"|device|mobile|blackberry|yahoo|aol|outlook|e?mail|gmail|windows|moto\w*|oneplus|huawei|xiaomi|redmi|nokia|lg|htc"
    r"|cell|handset|watch|t-mobile|verizon|at&t|celular|tel[eé]fono|m[oó]vil|portable|t[eé]l[eé]phone|telefone)\b"
    r"[^\n]{0,40}\Z",
    re.IGNORECASE,
)
"""The line that a device writes under a text, or behind it: - sent from my Galaxy."""
LONGEST_DEVICE_LINE = 120
MAX_WORDS_BEFORE_BLANK = 3
"""Behind a longer text only a mark or a new line tells it from "the texts sent from my phone"."""
STOP_SIGN = "🛑"
NAME_PARTICLES = frozenset("de del la da dos von van le du and y et e of the".split())
MEANINGS_IN_NAMES = frozenset({"WHEN", "THING", "BY", "LOCATION", "THEM", "MY", "OTHERCO"})
NAMES_LIKE_WORDS = frozenset("sue will may paz love mercy jesus group".split())
"""Parts of names that mean something else too."""
THEM = frozenset({"THEM"})
MEANINGS_IN_SURNAMES = MEANINGS_IN_NAMES - {"WHEN"}
LISTS = dict(read_lists("names.txt"))
FIRST_NAMES, THINGS, MONTHS, BRANDS = (frozenset(LISTS[name]) for name in ("FIRST", "THING", "MONTH", "BRAND"))
LOUD_PATTERN = re.compile(r"\b(?:stop|stopall|unsubscribe|opt ?out|revoke|alto|baja|arret|sair)\b")
"""Folded words that are hardly said of anything else than texts: whatever looks like a name behind them is one."""
TELLING_VERBS = frozenset(
    """is was has had have got gets feels broke died fell hurt fainted collapsed slipped crashed sick es esta fue tiene
    tuvo cayo enfermo enferma herido herida est sont etait tombe blesse malade foi tem teve ficou caiu doente""".split()
)
"""They tell of somebody: EMMA HAS COVID. Behind a loud word they may be a surname: STOP - John Hurt."""
POSSESSION_PATTERN = re.compile(r"['’]s\b", re.IGNORECASE)
MAX_SMALL_NAME_WORDS = 3
FAREWELL_PATTERN = re.compile(
    r"(?:\b(?:and |y |et |e ))?\b(?:have an?|que tengan?(?: una?)?|passez une?|tenham? uma?) (?:\w+ )?"
    r"(?:day|one|evening|night|afternoon|weekend|week|dia|tarde|noche|noite|semana|journee|soiree)\b"
)
"""Folded: have a great day."""
MAX_NAME_WORDS = 5
LONGEST_NAME = 100
LONGEST_COURTESY = 120
"""Characters. A longer line is neither, and costs nothing."""
MAX_WORDS_OF_CONTACT = 4
ADDRESS_WORDS = frozenset(
    """account acct apartment app apt apto ave avenue blvd box c calle casa case cir city client cliente col
    colonia compte conta court ct cuenta customer dept depto dr drive e floor house hwy id interior lane ln
    lot lote member miembro n nd ne no num number nw piso pkwy pl place po rd ref road room rua rue s se
    socio sq sr st ste street suite sw th tr trl unidad unit w way zip""".split()
)
"""Folded words of an address, or of a number by which a firm knows its customer. An order or a policy would rather be
what shall end: baja, poliza 123."""
WORDS_BEFORE_PLACES = frozenset(
    """a about after am antes apres around as at aux avant before by depois despues en em in las les los on para pm pour
    till to until vers""".split()
)
"""Beside a number they tell when or where, rather than sign."""
MEANINGS_IN_ADDRESSES = frozenset({"BY", "LOCATION", "THEM", "OTHERCO"})
HOUSE_NUMBER_PATTERN = re.compile(r"\d+(?:st|nd|rd|th|[a-d])?")
"""Not 4pm, 2nite or 10mg."""
MAX_WORDS_OF_ADDRESS = 10
MAX_LINES = 8


def cut_device_line(text: str) -> str:
    start = max(0, len(text) - LONGEST_DEVICE_LINE)
    found = DEVICE_PATTERN.search(text, start)
    if found and (found["blank"] is None or len(text[: found.start()].split()) <= MAX_WORDS_BEFORE_BLANK):
        return text[: found.start()]
    return text


def cut_signature(text: str) -> str:
    """The text without the lines of a signature below it. They are surely one: courtesy, an address, or a name that
    means nothing else here."""
    lines = text.split("\n")
    size = len(lines)
    while size > max(1, len(lines) - MAX_LINES) and _is_surely_signature(lines[size - 1]):
        size -= 1
    return "\n".join(lines[:size])


def _is_surely_signature(line: str) -> bool:
    line = line.strip().lstrip(SIGNATURE_MARKS)
    is_contact = bool(CONTACT_PATTERN.search(line)) and len(line.split()) <= MAX_WORDS_OF_CONTACT
    return not line or is_courtesy(line) or is_contact or is_name(line, THEM)


def is_loud(wish: str) -> bool:
    return LOUD_PATTERN.search(fold_text(wish)) is not None


def find_only_line(text: str) -> str | None:
    """The line that is left without lines of courtesy before and a signature after it."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > MAX_LINES:
        return None
    first, last = 0, len(lines)
    while last - first > 1 and is_courtesy(lines[first]):
        first += 1
    loud = is_loud(lines[first])
    while last - first > 1 and is_signature(lines[last - 1], loud):
        last -= 1
    return lines[first] if last - first == 1 else None


def is_courtesy(line: str) -> bool:
    if len(line) > LONGEST_COURTESY or STOP_SIGN in line:
        return False
    words = " ".join(word for word in split_words(line) if word[0].isalnum())
    return COURTESY.issuperset(FAREWELL_PATTERN.sub("", words).split())


def is_signature(line: str, loud: bool) -> bool:
    """`loud`: whether it stands under a loud word."""
    line = line.strip().lstrip(SIGNATURE_MARKS)
    return bool(
        not line
        or is_courtesy(line)
        or SIGNATURE_START.match(line)
        or CONTACT_PATTERN.search(line)
        or is_name(line, loud=loud)
        or (loud and is_address(line))
    )


def is_address(line: str) -> bool:
    """Whether a line looks like an address or a customer's number, behind a name or alone: 1140 Maple St, Apt 4,
    acct 55512. Its other words are capitalized, and tell of no thing, time or event."""
    if len(line) > LONGEST_NAME or re.search(r"[?!:]", line):
        return False
    words = re.findall(r"[^\W_]+", line)
    folded_words = [fold_text(word) for word in words]
    has_number = any(map(HOUSE_NUMBER_PATTERN.fullmatch, folded_words))
    if not has_number or not (words[0].isdigit() or not ADDRESS_WORDS.isdisjoint(folded_words)):
        return False
    return (
        len(words) <= MAX_WORDS_OF_ADDRESS
        and TELLING_VERBS.isdisjoint(folded_words)
        and all(map(_may_stand_in_address, words, folded_words))
    )


def _may_stand_in_address(word: str, folded_word: str) -> bool:
    if folded_word in ADDRESS_WORDS or HOUSE_NUMBER_PATTERN.fullmatch(folded_word):
        return True
    is_capitalized = word[0].isupper() and folded_word not in WORDS_BEFORE_PLACES
    return is_capitalized and MEANINGS_IN_ADDRESSES.issuperset(find_meanings(folded_word))


def is_name(text: str, allowed_meanings: frozenset[str] = MEANINGS_IN_NAMES, *, loud: bool = False) -> bool:
    """Whether a text looks like the name of somebody or of a company: few words, all capitalized, or known
    first names. `loud`: whether it stands behind a loud word."""
    if len(text) > LONGEST_NAME or re.search(r"[?!\d]", text):
        return False
    words = [word for word in re.findall(r"[^\W\d_]+", text) if fold_text(word) not in COURTESY]
    if not (loud and not text.isupper()) and not TELLING_VERBS.isdisjoint(map(fold_text, words)):
        return False
    if _is_known_name(words):
        return True
    if all(find_meanings(fold_text(word)) == ("MY",) for word in words):
        return False
    return len(words) <= MAX_NAME_WORDS and all(
        (word[0].isupper() or word.lower() in NAME_PARTICLES)
        and (word.lower() in NAMES_LIKE_WORDS or allowed_meanings.issuperset(find_meanings(fold_text(word))))
        for word in words
        if word.lower() not in NAME_PARTICLES
    )


def is_person(text: str) -> bool:
    """As `is_name`, but no company, no day and no make: who cancels "Tuesday" or removes a "Honda Civic" wishes
    something else than who signs. Behind a first name they are surnames: Jean Price, John Ford."""
    words = [fold_text(word) for word in re.findall(r"[^\W\d_]+", text)]
    first_name = next((word for word in words if word not in COURTESY), "")
    is_title = text[:1].isupper() and not text.isupper()
    if first_name in THINGS | MONTHS:
        surname = text.partition(" ")[2]
        return is_title and (is_name(surname, THEM) if surname else first_name in THINGS)
    if first_name in FIRST_NAMES and is_title and not POSSESSION_PATTERN.search(text):
        return is_name(text, MEANINGS_IN_SURNAMES)
    return BRANDS.isdisjoint(words) and is_name(text, THEM)


def _is_known_name(words: Sequence[str]) -> bool:
    """In whatever case: john, maria de jesus, bob k. A word that is in no list of names may tell what happened to
    somebody: "cancel - emma has covid"."""
    folded_words = [fold_text(word) for word in words]
    return (
        1 <= len(folded_words) <= MAX_SMALL_NAME_WORDS
        and folded_words[0] in FIRST_NAMES
        and all(len(word) == 1 or word in FIRST_NAMES or word in NAME_PARTICLES for word in folded_words)
    )
