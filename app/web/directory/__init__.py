"""The directory: leads, campaigns, numbers, accounts, agents, keys, settings. One file each."""

from app.web.envelope import Body, Line, Out


class Deleted(Out):
    """The answer to a DELETE."""

    deleted: bool = True


class Pause(Body):
    """The reason for a pause. It is shown beside the texts that wait."""

    reason: Line | None = None
