"""Handle names of films and pictures in annotation files."""

from pathlib import PurePath

MEDIA = (
    ".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv",
    ".jpg", ".jpeg", ".png",
)  # fmt: skip


def media_stem(name: str) -> str:
    """Return a name without folders, and without its ending if that is one of films or pictures."""
    path = PurePath(name.strip().replace("\\", "/"))
    return path.stem if path.suffix.lower() in MEDIA else path.name
