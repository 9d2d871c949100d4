"""The tree of errors: whose fault is it, and with which exit status does a command end.

BetatraderError
├── UsageError            2  wrong usage, or a data or strategy file that cannot be used
├── ConfigurationError    3  configuration content
├── UnreachableError      4  Redis or a venue does not answer
├── DeadlineError         5  no answer in time
├── RefusedError          6  risk, state, lease, or another run on the same home
└── IllegalTransition     1  an order was asked to change in a way its state forbids
"""


class BetatraderError(Exception):
    """Root of our errors; `str()` is one line: what and where, then how to mend it."""

    exit_status = 1


class UsageError(BetatraderError):
    """Wrong usage, or a data or strategy file that cannot be used."""

    exit_status = 2


class ConfigurationError(BetatraderError):
    """The configuration's content is wrong; `problems` holds one line for each error."""

    exit_status = 3

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnreachableError(BetatraderError):
    """Redis or a venue does not answer."""

    exit_status = 4


class DeadlineError(BetatraderError):
    """No answer in time."""

    exit_status = 5


class RefusedError(BetatraderError):
    """Refused by risk, state, lease, or because another run holds the same home."""

    exit_status = 6


class IllegalTransition(BetatraderError):  # noqa: N818  the name says what happened
    """An order was asked to change in a way that its state forbids."""
