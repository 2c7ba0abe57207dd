"""Annotations beyond the end of a film: each stage that meets frames and keyframes leaves them out and says so."""

from pathlib import Path

import pytest

from pipeline.bank.reader import open_bank
from pipeline.base.files import read_json
from pipeline.features.check_sources import check_sources
from stages import (
    evaluate,
    extract_frames,
    import_annotations,
    import_boxes,
    infer_bank,
    make_videos,
    train_baseline,
    train_head,
)
from tests.stages.zoo import DATA, NAME, SECONDS, SMALL, SOURCE, _compose

SAID = (
    "1 {what} in 1 films lie beyond the film's end and are left out; "
    "the first: {film} at 960, 60.5 s into a film of 20 s\n"
)


def test_keyframes_beyond_the_end_of_a_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    _compose(["backbone=slowonly_tiny", *SMALL])
    make_videos.make_videos(NAME, workers=1)
    for split, seconds in SECONDS.items():
        file = SOURCE / f"{split}.csv"
        kept = [line for line in file.read_text().splitlines() if int(line.split(",")[1]) in seconds]
        film, _, rest = kept[-1].split(",", 2)
        file.write_text("".join(f"{line}\n" for line in [*kept, f"{film},0960,{rest}"]))
    extract_frames.extract_frames(workers=1)
    import_annotations.import_annotations()
    import_boxes.import_boxes()

    def said(what: str) -> list[bool]:
        told = capsys.readouterr().err
        return [SAID.format(what=what.format(split), film=f"{split}_000") in told for split in SECONDS]

    said("")
    train_baseline.train_baseline(workers=1, device="cpu")
    assert said("keyframes of {}") == [True, True]
    for split in SECONDS:
        infer_bank.infer_bank(split, workers=1, device="cpu")
        bank = open_bank(DATA / f"bank/{split}.zarr")
        (film,) = bank.videos
        assert bank.rows(film, "ground_truth").timestamp.max() < 920
        assert bank.attributes(film)["duration_seconds"] == pytest.approx(20)
        assert check_sources(bank, boxes=DATA / "boxes", annotations=DATA / "annotations") == []
    assert said("timestamps of {}") == [True, True]
    for scope in ("head", "all"):
        _compose(["backbone=slowonly_tiny", "head=lfb_avg", f"scope={scope}", *SMALL])
        train_head.train_head(workers=1, device="cpu")
        assert said("keyframes of {}") == [True, scope == "all"]
        evaluate.evaluate(workers=1, device="cpu")
        assert said("keyframes of {}") == [False, scope == "all"]
        counts = read_json(Path("results/evaluate/metrics.json"))["counts"]
        assert counts["keyframes"] == 9, "what is annotated there counts as missed"
