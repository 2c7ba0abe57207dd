"""Write what `predict` found into a folder: the tables, AVA CSV, lines of JSON and the films that cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.files import check_own, write_json
from pipeline.evaluation.ava_csv import write_detection_parts
from pipeline.predict.attention_table import OUT as ATTENTION_FILES
from pipeline.predict.page.html_page import PAGE
from pipeline.predict.predict_films import FilmsResult
from pipeline.predict.predicted import OUT, Predicted
from pipeline.predict.to_correct import OWN as OF_CORRECTIONS
from pipeline.predict.to_correct import SPANS, check_uncorrected
from pipeline.predict.typed_results import Second, json_line

CSV, LINES, PROBLEMS = "detections.csv", "seconds.jsonl", "problems.json"
FILES = (*OUT, CSV, LINES, PROBLEMS, *ATTENTION_FILES, PAGE)
"What the command writes into its folder."
REPLACED = (*FILES, SPANS, *(f"correct-*/{each}" for each in OF_CORRECTIONS))
"What may lie there when it is replaced: this, and what is made of it."


def check_out(out: Path, *, force: bool) -> None:
    """Check that a folder may be written.

    Raises:
        InputError: it is there and `force` is not set, or it holds what this command does not write, or annotations
            that were corrected.
    """
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; --force replaces it, --out names another")
    check_own(out, REPLACED)
    for folder in sorted(out.glob("correct-*")):
        check_uncorrected(folder)


def write_tables(folder: Path, predicted: Predicted, found: FilmsResult, *, with_csv: bool) -> int:
    """Write the tables, `problems.json`, and AVA CSV if asked for, into a folder that is there.

    The detections are those of `found`, part by part, whatever `predicted` has.

    Returns:
        the number of detections.
    """
    count = predicted.write(folder, found.detections())
    if with_csv:
        write_detection_parts(folder / CSV, found.detections)
    total = len(found.results) + len(found.problems)
    write_json(folder / PROBLEMS, {"total": total, "problems": [each.written() for each in found.problems]})
    return count


class LinesWriter:
    """Writes each second as a line of JSON, at once."""

    def __init__(self, file: Path | None, *, echo: bool) -> None:
        self._file = file.open("w", encoding="utf-8") if file else None
        self._echo = echo

    def write(self, second: Second) -> None:
        """Write one second."""
        line = json_line(second)
        if self._file is not None:
            self._file.write(line)
            self._file.flush()
        if self._echo:
            print(line, end="", flush=True)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


@contextmanager
def lines_writer(file: Path | None, *, echo: bool) -> Iterator[LinesWriter]:
    """Yield a writer of lines.

    Args:
        file: where they go; None writes no file.
        echo: print them on standard output too.
    """
    writer = LinesWriter(file, echo=echo)
    try:
        yield writer
    finally:
        writer.close()
