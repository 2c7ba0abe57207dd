"""The one error type for what a user can cause."""


class InputError(Exception):
    """Something outside the program is wrong: a file, a row, a parameter, a bank of another model.

    The message is one line that names the file, row or key, what was found and what was expected.
    Commands print it without a traceback and exit with status 1.
    """


class DamagedError(InputError):
    """A file that this program wrote holds other bytes than it was written with."""
