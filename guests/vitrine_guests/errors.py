"""The one exception that this package raises on purpose; its text is meant for people."""


class GuestError(Exception):
    """A guest could not be fetched, built, booted or talked to; says what and what to do."""
