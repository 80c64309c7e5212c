"""What schemathesis cannot send by itself."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    """Lines are a text, and leave as they are."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else str(value).encode()
