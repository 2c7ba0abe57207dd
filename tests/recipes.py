"""Compose the published rows once for all tests, and write their table in docs/recipes.md.

`python -m tests.recipes` writes this table, and the table that `actionbank models` reads.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.base.files import json_text
from pipeline.commands.models import COUNTED, describe_row, read_published, row_keys
from pipeline.commands.recognition_rows import list_recognition_rows, recognition_cells

REPOSITORY = Path(__file__).resolve().parent.parent
CONF = REPOSITORY / "conf"
FIXTURES = REPOSITORY / "tests" / "fixtures" / "parity" / "mmaction2"
PAGE = REPOSITORY / "docs" / "recipes.md"
BEGIN, END = "<!-- rows: python -m tests.recipes -->\n", "<!-- end of rows -->\n"
# What the source reports, row by row.
REPORTED = {
    "ava21_slowonly_r50_4x16_k400": 20.72,
    "ava21_slowonly_r50_4x16_k700": 22.77,
    "ava21_slowonly_r50_nl_4x16": 21.55,
    "ava21_slowonly_r50_nl_8x8": 23.77,
    "ava21_slowonly_r101_8x8": 24.83,
    "ava21_slowfast_r50_4x16": 24.32,
    "ava21_slowfast_r50_4x16_context": 25.34,
    "ava21_slowfast_r50_8x8": 25.80,
    "ava21_slowfast_r50_8x8_acrn": 27.65,
    "ava21_lfb_nl_slowonly_r50_4x16": 24.05,
    "ava21_lfb_max_slowonly_r50_4x16": 22.15,
    "ava21_slowonly_r50_4x16_0x": 20.1,
    "ava21_slowonly_r50_4x16_omnisource_0x": 21.8,
    "ava21_slowonly_r101_8x8_0x": 24.6,
    "ava21_slowonly_r101_8x8_omnisource_0x": 25.9,
    "ava21_slowfast_r50_4x16_0x": 24.4,
    "ava21_slowfast_r50_4x16_context_0x": 25.4,
    "ava21_slowfast_r50_8x8_0x": 25.5,
    "ava21_lfb_avg_slowonly_r50_4x16_0x": 20.17,
    "ava22_slowfast_r50_8x8": 25.90,
    "ava22_slowfast_r50_8x8_temporal_max": 26.41,
    "ava22_slowfast_r50_8x8_temporal_max_focal": 26.65,
    "ava22_slowfast_r50_8x8_acrn": 27.71,
    "ava_kinetics_slowonly_r50_4x16_k400": 24.53,
    "ava_kinetics_slowonly_r50_4x16_k700": 25.87,
    "ava_kinetics_slowonly_r50_8x8_k400": 26.10,
    "ava_kinetics_slowonly_r50_8x8_k700": 27.82,
    "ava_kinetics_slowonly_r50_8x8_context": 28.31,
    "ava_kinetics_slowonly_r50_8x8_context_max": 28.48,
    "ava_kinetics_slowonly_r50_8x8_context_max_mlp": 29.83,
    "ava_kinetics_slowonly_r50_8x8_context_max_mlp_focal": 30.33,
    "ava_kinetics_slowonly_r50_16x4_tricks": 31.29,
    "multisports_slowonly_r50_4x16": 26.40,
    "multisports_slowfast_r50_4x16": 36.88,
}
# What AlphAction's model zoo reports, and its paper.
ALPHACTION = {
    "ava22_aia_r50_baseline": (26.7, 26.5),
    "ava22_aia_r101_baseline": (29.3, 29.3),
    "ava22_aia_r50_parallel": (29.0, 28.9),
    "ava22_aia_r50_serial": (29.8, 29.6),
    "ava22_aia_r50_dense_serial": (30.0, 29.8),
    "ava22_aia_r101_dense_serial": (32.4, 32.3),
    "common15_aia_r50": (70.0, None),
}
# What MMAction2's development branch reports.
VIDEOMAE = {"ava_kinetics_videomae_b": 33.6, "ava_kinetics_videomae_l": 38.7}
# Whose configuration no fixture was made of.
WITHOUT_FIXTURE = {
    "ava21_slowfast_r50_4x16_context",
    "ava21_slowfast_r50_4x16_context_0x",
    "ava21_lfb_max_slowonly_r50_4x16",
    "ava_kinetics_slowonly_r50_8x8_context_max_mlp_focal",
}
# One row of each distinct architecture; all others differ in weights, clip, loss or schedule alone.
ARCHITECTURES = (
    "ava21_slowonly_r50_4x16_k400",
    "ava21_slowonly_r50_nl_8x8",
    "ava21_slowonly_r101_8x8",
    "ava21_slowfast_r50_4x16",
    "ava21_slowfast_r50_4x16_context",
    "ava21_slowfast_r50_8x8",
    "ava21_slowfast_r50_8x8_acrn",
    "ava21_lfb_nl_slowonly_r50_4x16",
    "ava21_lfb_max_slowonly_r50_4x16",
    "ava21_lfb_avg_slowonly_r50_4x16_0x",
    "ava22_slowfast_r50_8x8_temporal_max",
    "ava_kinetics_slowonly_r50_8x8_context",
    "ava_kinetics_slowonly_r50_8x8_context_max",
    "ava_kinetics_slowonly_r50_8x8_context_max_mlp",
    "multisports_slowonly_r50_4x16",
    "multisports_slowfast_r50_4x16",
    "ava_kinetics_videomae_b",
    "ava_kinetics_videomae_l",
)
TITLES = {
    ("ava21", "mmaction2_1x"): "AVA 2.1",
    ("ava21", "mmaction2_0x"): "AVA 2.1, older zoo (MMAction2 0.24.1)",
    ("ava22", "mmaction2_1x"): "AVA 2.2",
    ("ava_kinetics", "mmaction2_1x"): "AVA 2.2 val, trained on AVA-Kinetics",
    ("ava22", "official"): "AVA 2.2 (AlphAction)",
    ("common15", "official"): "15 common classes of AVA (AlphAction)",
    ("multisports", "mmaction2_1x"): "MultiSports (frame-mAP; video-mAP at 0.2, 0.5, 0.1 to 0.9)",
}


@cache
def rows() -> dict[str, dict[str, Any]]:
    """The composed parameters of every published row, by name."""
    return read_published(CONF)


@cache
def described(name: str) -> dict[str, Any]:
    """What `actionbank models` says of a row."""
    return describe_row(name, rows()[name])


@cache
def recognition_rows() -> list[dict[str, Any]]:
    """What `actionbank models` says of the rows of recognition."""
    return list_recognition_rows(CONF, {})


def fixture(name: str) -> dict[str, Any]:
    """What was recorded of a model of MMAction2."""
    content: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return content


def training_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The block of parameters that trains what is scored."""
    block: dict[str, Any] = values["baseline" if values["head"]["name"] == "baseline" else "head_train"]
    return block


def table_text() -> str:
    """The tables of all rows in Markdown, one per data set and zoo."""
    lines: list[str] = []
    section = None
    for name, values in rows().items():
        reported = values["reported"]
        found = (values["dataset"]["name"], reported["protocol"])
        if found != section:
            section = found
            lines += ["", f"### {TITLES[found]}", ""]
            lines.append("| experiment | clip | head | parameters | GFLOPs | mAP | from | lr, batch, epochs | memory |")
            lines.append("|---|---|---|---|---|---|---|---|---|")
        lines.append(_line(name, values))
    return "\n".join([*lines, *_recognition_lines(), "", ""])


def _recognition_lines() -> list[str]:
    """The table of recognition: a line for each row and each version of the source."""
    lines = ["", "### Something-Something, one label per clip", ""]
    lines.append("| experiment | backbone | frames | head | parameters | GFLOPs | top-1 | top-5 | reported by |")
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for row in recognition_rows():
        lines += [f"| `{name}` | {' | '.join(cells)} |" for name, *cells, _ in recognition_cells(row)]
    return lines


def _line(name: str, values: Mapping[str, Any]) -> str:
    row, reported, training = described(name), values["reported"], training_of(values)
    video = "; " + ", ".join(f"{each:g}" for each in reported.get("video_map", {}).values())
    paper = f" (paper {reported['paper_map']:g})" if reported.get("paper_map") else ""
    memory = f"{reported['memory_mb']} MB" if "memory_mb" in reported else "-"
    cells = (
        f"`{name}`",
        row["clip"],
        row["head"],
        f"{row['parameters']:,}",
        f"{row['gflops']:.1f}",
        f"{reported['map']:g}" + (video if "video_map" in reported else "") + paper,
        Path(values["baseline"]["init"]).stem,
        f"{training['lr']:g}, {training['global_batch'] // training['bn_batch']} x {training['bn_batch']}, "
        f"{training['schedule']['epochs']}",
        memory,
    )
    return f"| {' | '.join(cells)} |"


def with_table(page: str) -> str:
    """The page with its tables made anew."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + table_text() + END + rest.split(END)[1]


def counted_text() -> str:
    """What `actionbank models` reads."""
    keys = row_keys(CONF)
    of_clips = {row["name"]: row for row in recognition_rows()}
    return json_text({name: {"key": keys[name], "row": row} for name, row in (_detection_rows() | of_clips).items()})


def _detection_rows() -> dict[str, dict[str, Any]]:
    return {name: described(name) for name in rows()}


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
    COUNTED.write_text(counted_text())
