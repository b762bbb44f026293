"""Whether a phone may be texted: one rule for every statement that asks."""


def is_suppressed_sql(tenant_id: str, phone: str, phone_hash: str | None = None) -> str:
    """A condition, for the given column expressions: the phone, or its keyed hash, has a suppression.

    LIMIT makes it a lookup for each row: a join might read all suppressions."""
    hash_sql = f" OR s.phone_hash = {phone_hash}" if phone_hash else ""
    return f"""((SELECT true FROM suppressions s
        WHERE s.tenant_id = {tenant_id} AND (s.phone = {phone}{hash_sql}) LIMIT 1) IS NOT NULL)"""


def may_not_text_sql(tenant_id: str, phone: str, dnc_channels: str, phone_hash: str | None = None) -> str:
    """A condition: the lead (NULL: there is none) asked for no texts, or the phone is suppressed."""
    suppressed_sql = is_suppressed_sql(tenant_id, phone, phone_hash)
    return f"(coalesce('sms' = ANY ({dnc_channels}), false) OR {suppressed_sql})"
