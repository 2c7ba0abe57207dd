"""Features of films that are held between two uses: those used last.

Those of a bank of this machine are mapped, and each is an open file. Those of a bank on another machine are copied to
memory: while a file is mapped it takes space on disk, also when the folder of fetched parts has dropped it, and what is
in memory need not be fetched again.
"""

from collections import OrderedDict

from pipeline.bank.feature_rows import FloatArray
from pipeline.bank.reader import Bank

MOST_MAPPED = 500  # a process may often open no more than 1,024 files


class HeldFeatures:
    """Features of row sets, held up to a number of bytes, and of files where they are mapped; at least the last one.

    Args:
        most_bytes: of all features that are held; None for any number.
    """

    def __init__(self, most_bytes: int | None) -> None:
        self.most_bytes = most_bytes
        self.held: OrderedDict[int, FloatArray] = OrderedDict()
        self.held_bytes = 0

    def take(self, key: int, bank: Bank, video: str, row_set: str) -> FloatArray:
        """Return all features of a film's row set, [rows, C], as stored.

        Args:
            key: stands for the bank, the video and the row set.
            bank: see there.
            video: see there.
            row_set: see there.

        Raises:
            InputError: as `Bank.column`.
        """
        if key not in self.held:
            features = bank.column(video, row_set, "features")
            assert features is not None  # every bank has it
            is_mapped = bank.fetched is None
            self.held[key] = features if is_mapped else features.copy()
            self.held_bytes += features.nbytes
            while len(self.held) > 1 and (self._is_too_large() or (is_mapped and len(self.held) > MOST_MAPPED)):
                self.held_bytes -= self.held.popitem(last=False)[1].nbytes
        self.held.move_to_end(key)
        return self.held[key]

    def _is_too_large(self) -> bool:
        return self.most_bytes is not None and self.held_bytes > self.most_bytes
