"""Conditions on a thread: whether its lead waits for somebody, and whether it is snoozed."""


def _column(thread: str, name: str) -> str:
    return f"{thread}.{name}" if thread else name


def waits_sql(thread: str) -> str:
    """The lead wrote last, and nobody answers: the agent is off, gave up, or is paused. Not where a person
    closed the thread since, or snoozed it until the lead writes. Without held replies and the like, which have
    indexes of their own. The index `ix_interactions_waiting` has the same condition."""
    names = (
        "last_direction",
        "status",
        "agent_mode",
        "gave_up_at",
        "paused_until",
        "status_by_hand_at",
        "snoozed_at",
        "snoozed_until",
        "last_inbound_at",
    )
    direction, status, agent_mode, gave_up_at, paused_until, by_hand_at, snoozed_at, snooze_end, inbound_at = (
        _column(thread, name) for name in names
    )
    return f"""{direction} = 'inbound' AND {status} <> 'dnc'
    AND (NOT {agent_mode} OR {gave_up_at} > {inbound_at} OR {paused_until} > {inbound_at})
    AND ({status} NOT IN ('completed', 'disqualified') OR {by_hand_at} IS NULL OR {by_hand_at} < {inbound_at})
    AND ({snoozed_at} IS NULL OR {snooze_end} IS NOT NULL OR {snoozed_at} < {inbound_at})"""


def snooze_holds_sql(thread: str) -> str:
    """The thread was snoozed, and the lead has not written since. The index `ix_interactions_snoozed` has the
    same condition."""
    snoozed_at, inbound_at = _column(thread, "snoozed_at"), _column(thread, "last_inbound_at")
    return f"{snoozed_at} IS NOT NULL AND ({inbound_at} IS NULL OR {inbound_at} <= {snoozed_at})"


def snooze_end_sql(thread: str) -> str:
    return f"coalesce({_column(thread, 'snoozed_until')}, 'infinity'::timestamptz)"


def is_snoozed_sql(thread: str) -> str:
    """Never NULL. A snooze ends by itself at its time, and when the lead writes. `now()` and not the clock, so
    that an index can be asked."""
    return f"({snooze_holds_sql(thread)} AND {snooze_end_sql(thread)} > now())"


def waiting_since_sql(thread: str) -> str:
    """Since when the lead waits. Where the newest text is ours: when it was sent."""
    return f"""CASE WHEN {thread}.last_direction = 'inbound'
    THEN coalesce({thread}.waiting_since, {thread}.last_inbound_at, {thread}.last_message_at)
    ELSE {thread}.last_message_at END"""
