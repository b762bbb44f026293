"""The status history of a text: a JSON list of steps, each with its status and time."""


def step_sql(status: str, at: str = "clock_timestamp()") -> str:
    """One step, from SQL expressions."""
    return f"jsonb_build_object('status', {status}, 'at', {at})"


def first_step_sql(status: str) -> str:
    """The history of a new text."""
    return f"jsonb_build_array({step_sql(status)})"


def add_step_sql(status: str, at: str = "clock_timestamp()") -> str:
    """The history of the text `m`, with one more step."""
    return f"m.status_history || {step_sql(status, at)}"
