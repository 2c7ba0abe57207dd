"""How many jobs may run at a time on a Ray cluster whose nodes run out of memory.

Ray's memory monitor ends the process that began last, whichever one took the memory. If the same number ran again at
once, it would end the next one, and so on, until jobs that need little were lost as often as the one that needs much.
"""

import sys


class Limit:
    """The most jobs at a time: one fewer for each process that was lost, one more once as many jobs were made."""

    def __init__(self) -> None:
        self.most = sys.maxsize
        self._made = 0

    def lost(self, at_work: int) -> None:
        """Count a process that was ended for memory, when so many were there, itself among them."""
        self.most = max(1, min(self.most, at_work) - 1)
        self._made = 0

    def made(self) -> None:
        """Count a job that was done."""
        self._made += 1
        if self._made >= self.most:
            self.most += 1
            self._made = 0
