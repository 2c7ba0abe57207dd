from pipeline.commands.recognition_rows import TITLES, list_recognition_rows, recognition_cells, recognition_experiments
from tests.recipes import CONF


def test_the_rows_of_trn_have_their_cost_and_what_is_reported() -> None:
    assert recognition_experiments(CONF) == ["sthv1_trn_r50", "sthv2_trn_r50"]
    rows = {row["name"]: row for row in list_recognition_rows(CONF, {})}
    assert [(row["parameters"], row["gflops"]) for row in rows.values()] == [(26_641_154, 65.42)] * 2
    cells = [line for row in rows.values() for line in recognition_cells(row)]
    assert {len(line) for line in cells} == {len(TITLES)}
    assert [line[6:9] for line in cells] == [
        ("31.60 / 33.65", "60.15 / 62.22", "mmaction2_1x"), ("31.62 / 33.88", "60.01 / 62.12", "mmaction2_0x"),
        ("47.65 / 51.20", "76.27 / 78.42", "mmaction2_1x"), ("48.39 / 51.28", "76.58 / 78.65", "mmaction2_0x"),
    ]  # fmt: skip
