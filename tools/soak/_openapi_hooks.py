"""What schemathesis is told before it runs: a list that is watched never ends, so nothing is watched."""

import schemathesis

_STREAMS = ("watch", "sendInitialEvents", "allowWatchBookmarks")


@schemathesis.hook
def map_query(context: object, query: dict[str, object] | None) -> dict[str, object] | None:
    """The query parameters of every request."""
    return {name: value for name, value in query.items() if name not in _STREAMS} if query else query
