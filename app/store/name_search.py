"""Which leads a search of names finds: by name, id, e-mail or phone."""

from app.domain.searches import Search
from app.store.thread_filters import LEAD_WORDS_SQL, Params, may_have_words_sql

MAX_QUICK = 10_000
"""Threads or leads that are searched for short words while a person types."""


def lead_matches_sql(params: Params, search: Search) -> str:
    if search.phone_digits:
        return _phone_matches_sql(params, search.phone_digits)
    return f"""SELECT l.lead_id FROM leads l
    WHERE l.tenant_id = $1{has_name_sql(params, search)}"""


def newest_matches_sql(params: Params, search: Search) -> str:
    """Among the newest leads: no index knows so short a word."""
    return f"""SELECT l.lead_id FROM (
        SELECT * FROM leads WHERE tenant_id = $1 ORDER BY lead_id DESC LIMIT {MAX_QUICK}) l
    WHERE {may_have_words_sql(params, LEAD_WORDS_SQL, search.plain_words)}{has_name_sql(params, search)}"""


def has_name_sql(params: Params, search: Search) -> str:
    """Each phrase stands somewhere in name, id or e-mail. LIKE ALL of an array would use no index."""
    return "".join(
        f" AND fold_text({LEAD_WORDS_SQL}) LIKE ('%' || fold_text({params.bind(phrase)}) || '%')"
        for phrase in search.phrases
    )


def _phone_matches_sql(params: Params, digits: str) -> str:
    end, begin = params.bind(f"{digits[::-1]}%"), params.bind(f"+{digits}%")
    at_home, lead_id = params.bind(f"+1{digits}%"), params.bind(f"{digits}%")
    return f"""SELECT lead_id FROM leads WHERE tenant_id = $1 AND reverse(phone) LIKE {end}
    UNION SELECT lead_id FROM leads WHERE tenant_id = $1 AND phone LIKE {begin}
    UNION SELECT lead_id FROM leads WHERE tenant_id = $1 AND phone LIKE {at_home}
    UNION SELECT lead_id FROM leads WHERE tenant_id = $1 AND lead_id LIKE {lead_id}
    UNION SELECT lead_id FROM interactions WHERE tenant_id = $1 AND lead_phone LIKE {begin}
    UNION SELECT lead_id FROM interactions WHERE tenant_id = $1 AND lead_phone LIKE {at_home}"""
