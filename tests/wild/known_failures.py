"""Cases that the checker does not do yet, and what it says instead. A case that passes must leave the table."""

KNOWN_FAILURES: dict[str, str] = {}
