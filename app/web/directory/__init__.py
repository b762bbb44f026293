"""The directory: what conversations are made of (contract 8). One file a resource."""

from app.web.envelope import Body, Line, Out


class Deleted(Out):
    """What DELETE answers."""

    deleted: bool = True


class Pause(Body):
    """Why something is braked; shown beside what waits."""

    reason: Line | None = None
