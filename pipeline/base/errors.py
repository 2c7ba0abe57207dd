"""The error type for what a user can cause, and the form that foreign text takes in a message."""

LONGEST = 4000
_TAIL = 500


class InputError(Exception):
    """Something outside the program is wrong: a file, a row, a parameter, a bank of another model.

    The message is one line that names the file, row or key, what was found and what was expected. Foreign text in it is
    escaped and shortened by `one_line`. Commands print the message without a traceback and exit with status 1.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class DamagedError(InputError):
    """A file that this program wrote no longer holds the bytes that were written."""


class ClusterError(InputError):
    """Something is wrong with the cluster, or with one of its nodes: no item can be made rightly, so the work ends."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """Bring a text to one line that every terminal and file can take: escape unprintable characters, cut the middle.

    Args:
        text: any text, as from a file, a name or a library.
        longest: how many characters are kept.
    """
    if len(text) > longest:
        head = longest - min(_TAIL, longest // 4)
        text = f"{text[:head]} [... {len(text) - longest} characters ...] {text[len(text) - (longest - head) :]}"
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def how_to_install(extra: str) -> str:
    """Write the command that installs an optional extra of pyproject.toml; the project is in no package index."""
    return f"`./run uv pip install -e '.[{extra}]'` installs it"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a number of things in words: `1 film`, `3 films`; `plural` is needed where it is not the noun plus s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
