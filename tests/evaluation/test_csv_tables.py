from pathlib import Path

import numpy as np

from pipeline.evaluation.csv_tables import write_csv


def test_undefined_values_are_empty_cells_and_numbers_are_plain(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ["class", "ap"], [("a, b", np.float32(0.5)), ("c", np.nan), ("d", None)])
    assert (tmp_path / "t.csv").read_text() == 'class,ap\n"a, b",0.5\nc,\nd,\n'
