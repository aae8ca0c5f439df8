"""Real Linux guests for Vitrine's tests and demo: stock Debian kernels, known actors, a truth printer."""

from .errors import GuestError
from .labels import LABELS
from .machine import Guest

__all__ = ["LABELS", "Guest", "GuestError"]
