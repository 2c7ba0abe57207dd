import re
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.base.errors import InputError
from pipeline.params import load_params, parse_params
from pipeline.params.choices import chosen_overrides
from pipeline.project.compose import (
    compose_params,
    differing_keys,
    keep_composed,
    params_text,
    replaced_values,
)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CONF = REPOSITORY / "conf"
GROUPS = ("dataset", "backbone", "head", "scope")


def test_the_committed_params_are_what_conf_says() -> None:
    found = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    assert differing_keys(found, compose_params(chosen_overrides(found), CONF)) == []
    assert load_params(REPOSITORY / "params.yaml").choices.head == "lfb_avg"


@pytest.mark.parametrize(
    "override", [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
)
def test_every_file_of_every_group_composes(override: str) -> None:
    group, name = override.split("=")
    # The playground's frames are too small for what is published at 256 pixels.
    large = group == "backbone" and not name.endswith("tiny")
    needs = ["backbone.folder=conf/none"] if override == "backbone=transformers" else []
    values = compose_params([override, *needs, *(["dataset=ava22"] if large else [])], CONF)
    assert values["choices"][group] == name
    assert values[group]["name"] == name


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_composes_and_recomposes(path: Path) -> None:
    values = compose_params([f"+experiment={path.stem}"], CONF)
    assert values["choices"]["experiment"] == path.stem
    assert compose_params(chosen_overrides(values), CONF) == values
    assert path.read_text().count("#") >= 2, "an experiment says its source, reported mAP, schedule and hardware"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["head=nope"],
            r"^conf/head/nope\.yaml: no such file; choices of head: acar, acar_lfb, acrn, aia_dense_serial, "
            "aia_parallel, aia_serial, aia_split, baseline, lfb_avg, lfb_max, lfb_nl, lfb_nl_split, linear, two_layer$",
        ),
        (["hed=linear"], r"^hed: no such parameter in conf/; did you mean head\?$"),
        (
            ["baseline.augmentation.short_side=[96,120]", "frames.allow_smaller=true"],
            r"baseline.augmentation.short_side is \[96, 120\] and baseline.augmentation.crop is none: clips of one "
            r"batch "
            "would differ in size; set baseline.augmentation.crop to at most 96",
        ),
        (["baseline.augmentation.short_side=[96,90]"], r"short_side is \[96, 90\], expected the smallest first"),
        (
            ["head_train.augmentation.crop=100"],
            "head_train.augmentation.crop 100 is above the smallest head_train.augmentation.short_side 96",
        ),
        (["head=linear", "head.window.seconds=9"], "window"),
        (["head.window.mask=some"], r"head.window.mask: Input should be 'none' or 'valid' \(found 'some'\)"),
        (
            ["head.window.span=before"],
            r"head.window.span: Input should be 'past', 'centred' or 'future' \(found 'before'",
        ),
        (["head.window.draw=person"], r"head.window.draw: Input should be 'keyframe' or 'roi' \(found 'person'\)"),
        (["bank.dtype=fp64"], r"bank.dtype: Input should be 'fp16' or 'fp32' \(found 'fp64'\)"),
        (["baseline.lr=fast"], "baseline.lr: Input should be a valid number.*found 'fast'"),
        (
            ["baseline.bn_batch=3"],
            "with baseline.bn_batch=3: baseline.global_batch 16 is no multiple of baseline.bn_batch 3$",
        ),
        (
            ["baseline.checkpoint.select=best", "baseline.validation.interval=0"],
            "baseline.checkpoint.select best needs a baseline.validation.interval above 0",
        ),
        (
            ["head_train.early_stop.patience=3", "head_train.validation.interval=0"],
            "head_train.early_stop.patience 3 needs a head_train.validation.interval above 0$",
        ),
        (["baseline.early_stop.patience=-1"], "baseline.early_stop.patience: Input should be greater than or equal to"),
        (
            ["baseline.early_stop.min_delta=50"],
            "baseline.early_stop.min_delta: Input should be less than",
        ),
        (["training.log=wandb"], r"training.log: Input should be 'none', 'tensorboard' or 'mlflow' \(found 'wandb'\)"),
        (
            ["baseline.videos={folds: 2, use: [0, 2]}"],
            r"baseline.videos.use is \[0, 2\], expected different folds from 0 to 1$",
        ),
        (["baseline.videos.use=[0,0]"], r"baseline.videos.use is \[0, 0\], expected different folds from 0 to 0$"),
        (["head_train.videos.use=[]"], "head_train.videos.use: List should have at least 1 item"),
        (["head_train.videos.use=[-1]"], "head_train.videos.use.0: Input should be greater than or equal to 0"),
        (
            ["head_train.schedule.epochs=0"],
            "head_train.schedule.epochs is 0; only the baseline may stay at its initial weights",
        ),
        (["head.window.score=0.3"], "head.window.score 0.3 is below bank.box_threshold"),
        (["evaluation.box_threshold=0.3"], "evaluation.box_threshold 0.3 is below bank.box_threshold"),
        (["bank.box_threshold=0.01"], "bank.box_threshold 0.01 is below boxes.min_score"),
        (["bank=external"], "train"),
        (["backbone=slowonly_r50"], "frames.short_side 96 is below backbone.input.short_side 256: clips would be"),
        (["dataset=ava21", "+published=mmaction2", "frames.short_side=256"], "is below baseline.augmentation"),
        (["labels.background=true"], "labels.background is a column of the softmax, and labels.kind is multi$"),
        (["labels.kind=multi", "labels.background=true"], "labels.background is a column of the softmax"),
        (["+experiment=nope"], r"^conf/experiment/nope\.yaml: no such file; choices of experiment: ava21_"),
        (["+frames.fsp=3"], "frames.fsp: is no parameter"),
        (["frames.fsp=3"], r"^frames\.fsp: no such parameter in conf/; did you mean frames\.fps\?$"),
        (["head=lfb_nl", "head.window.second=9"], r"conf/ with head=lfb_nl; did you mean head\.window\.seconds\?$"),
        (["absent.key=9"], r"^absent\.key: no such parameter in conf/$"),
        (
            ["head=linear", "head.window.seconds=9"],
            r"^head\.window\.seconds: no such parameter in conf/ with head=linear$",
        ),
        (
            ["head=linear", "head.memory=asynchronous"],
            r"head\.memory is asynchronous, and there is no head\.window that reads it: head linear sees the person "
            "alone; one of lfb or aia has a window$",
        ),
        (["head.reads=features"], "head.reads is features, and there is a head.window$"),
    ],
)
def test_a_bad_choice_is_refused_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        compose_params(overrides, CONF)
    assert "\n" not in str(caught.value)


def test_clips_are_upsampled_only_where_that_is_allowed() -> None:
    row = ["+experiment=ava21_slowonly_r50_4x16_k400", "frames.short_side=256"]
    message = (
        "parameters: frames.short_side 256 is below baseline.augmentation.short_side 320: clips would be upsampled; "
        "store larger frames or set frames.allow_smaller"
    )
    with pytest.raises(InputError, match=f"^conf/ with {re.escape(' '.join(row))}: {re.escape(message)}$"):
        compose_params(row, CONF)
    head = ["head_train.augmentation={short_side: [64, 100], crop: 64, flip: 0, colour: 0, box_jitter: 0}"]
    with pytest.raises(InputError, match=r"frames\.short_side 96 is below head_train\.augmentation\.short_side 100: "):
        compose_params(head, CONF)
    assert compose_params([*row, "frames.allow_smaller=true"], CONF)["frames"]["short_side"] == 256
    for stored in ("none", "320"):
        compose_params([*row[:1], f"frames.short_side={stored}"], CONF)


def test_early_stopping_that_is_off_is_no_part_of_the_record_of_a_training() -> None:
    off, on = (
        parse_params(compose_params([f"head_train.early_stop.patience={patience}"], CONF), "here").head_train
        for patience in (0, 2)
    )
    assert "early_stop" not in off.model_dump()
    assert on.model_dump()["early_stop"] == {"patience": 2, "min_delta": 0.0}


def test_no_stage_depends_on_how_a_training_is_watched() -> None:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    tracked = [key for stage in stages.values() for key in stage.get("do", stage).get("params", [])]
    assert "baseline" in tracked
    assert not [key for key in tracked if key.split(".")[0] == "training"]


def test_every_fault_is_listed_at_once() -> None:
    values = compose_params([], CONF)
    values["frames"] = {**values["frames"], "fps": 0, "quality": 101}
    del values["seed"]
    with pytest.raises(InputError, match=r"here: seed: is missing; frames.quality: .*; frames.fps: "):
        parse_params(values, "here")


def test_a_linear_head_asks_for_no_bank_and_scope_all_for_frames() -> None:
    linear = compose_params(["head=linear"], CONF)
    assert linear["bank"]["make"] == []
    assert linear["bank"]["train"] == "conf/none/train_bank"
    assert linear["scope"]["frames"] == "data/playground/frames"
    lfb = compose_params(["head=lfb_nl"], CONF)
    assert lfb["bank"]["make"] == ["train", "val"]
    assert lfb["scope"]["frames"] == "conf/none/frames"
    both = compose_params(["head=lfb_nl", "scope=all"], CONF)
    assert both["scope"]["weights"] == "models/baseline.safetensors"
    for values in (linear, lfb, both):
        for path in (
            *[values["scope"][name] for name in ("frames", "weights", "boxes", "sidecar")],
            values["bank"]["train"],
        ):
            assert not path.startswith("conf/") or (REPOSITORY / path).is_file()


def test_external_banks_are_read_not_made() -> None:
    values = compose_params(["bank=external", "bank.train=a.zarr", "bank.val=b.zarr", "bank.producer=abc"], CONF)
    assert values["bank"]["make"] == []
    assert values["bank"]["train"] == "a.zarr"


@pytest.mark.parametrize("head", ["lfb_nl", "linear"])
def test_a_head_on_external_banks_needs_neither_frames_nor_a_baseline(head: str) -> None:
    external = ["bank=external", "bank.train=a.zarr", "bank.val=b.zarr", "bank.producer=abc"]
    values = compose_params([*external, f"head={head}"], CONF)
    assert {values["scope"][name] for name in ("frames", "weights", "boxes", "sidecar")} == {
        f"conf/none/{name}" for name in ("frames", "weights", "boxes", "sidecar")
    }
    assert values["inputs"]["baseline"] == []


EXTERNAL = ["bank=external", "bank.train=a.zarr", "bank.val=b.zarr", "bank.producer=abc"]
SIDECAR, NO_SIDECAR = "models/baseline.json", "conf/none/sidecar"
WEIGHTS, NO_WEIGHTS = "models/baseline.safetensors", "conf/none/weights"


@pytest.mark.parametrize(
    ("head", "bank", "init", "sidecar", "weights"),
    [
        ("lfb_nl", "own", "kinetics", SIDECAR, NO_WEIGHTS),
        ("lfb_nl", "own", "baseline", SIDECAR, WEIGHTS),
        ("lfb_nl", "external", "kinetics", NO_SIDECAR, NO_WEIGHTS),
        ("lfb_nl", "external", "baseline", SIDECAR, WEIGHTS),
        ("linear", "own", "kinetics", NO_SIDECAR, NO_WEIGHTS),
        ("acrn", "own", "baseline", SIDECAR, WEIGHTS),
        ("acrn", "external", "kinetics", NO_SIDECAR, NO_WEIGHTS),
        ("linear", "external", "baseline", SIDECAR, WEIGHTS),
        ("baseline", "own", "kinetics", SIDECAR, WEIGHTS),
        ("baseline", "external", "kinetics", SIDECAR, WEIGHTS),
    ],
)
def test_a_whole_detector_needs_the_baseline_where_something_of_it_is_read(
    head: str, bank: str, init: str, sidecar: str, weights: str
) -> None:
    external = EXTERNAL if bank == "external" else []
    values = compose_params([*external, f"head={head}", "scope=all", f"head_train.init={init}"], CONF)
    assert (values["scope"]["sidecar"], values["scope"]["weights"]) == (sidecar, weights)
    assert values["inputs"]["baseline"] == (["baseline"] if sidecar == SIDECAR else [])


def test_what_has_no_default_must_be_given() -> None:
    message = (
        "bank.producer must be given, with -S or to compose: bank.producer=...; bank.producer=unknown takes a bank "
        "that names no checkpoint"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        compose_params(["bank=external", "bank.train=a.zarr", "bank.val=b.zarr"], CONF)


def test_the_baseline_itself_reads_frames() -> None:
    values = compose_params(["head=baseline"], CONF)
    assert (values["scope"]["frames"], values["scope"]["weights"]) == ("data/playground/frames", WEIGHTS)
    message = "head=baseline scores frames, of which scope=head has none on a bank made elsewhere; scope=all takes them"
    with pytest.raises(InputError, match=message):
        compose_params([*EXTERNAL, "head=baseline"], CONF)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file; run it in the project's folder, or `actionbank compose`"),
        ("a: [", "not YAML"),
        (
            "a: 1",
            "choices: is missing.*; the file is of another version, or was edited: `actionbank compose` writes it "
            "anew$",
        ),
    ],
)
def test_unreadable_params_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_params(path)


def test_the_command_writes_checks_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.cli import build_app

    (tmp_path / "conf").symlink_to(CONF)
    monkeypatch.chdir(tmp_path)
    app, run = build_app("compose"), CliRunner().invoke
    assert run(app, ["compose", "head=lfb_nl"]).exit_code == 0
    assert load_params().head.name == "lfb_nl"
    assert run(app, ["compose", "--check"]).output == "params.yaml: as conf/ says\n"
    assert run(app, ["compose", "+experiment=ava21_lfb_nl_slowonly_r50_4x16", "frames.quality=80"]).exit_code == 0
    assert load_params().head_train.lr == 0.15
    differs = str(run(app, ["compose", "--check"]).exception)
    assert "frames.quality: 80, conf/ says 90" in differs
    assert "head" not in differs
    assert run(app, ["compose", "--check", "frames.quality=80"]).output == "params.yaml: as conf/ says\n"
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["baseline"]["lr"] = 7.0
    Path("params.yaml").write_text(params_text(values))
    refused = run(app, ["compose", "--check"])
    assert isinstance(refused.exception, InputError)
    assert "baseline.lr: 7.0, conf/ says" in str(refused.exception)
    Path("params.yaml").write_text("[]")
    assert "found a list, expected a mapping" in str(run(app, ["compose", "--check"]).exception)
    Path("params.yaml").write_text("seed: 1")
    assert "has no choices" in str(run(app, ["compose", "--check"]).exception)
    Path("params.yaml").unlink()
    assert "no such file" in str(run(app, ["compose", "--check"]).exception)


def test_only_what_was_edited_by_hand_counts_as_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    new = compose_params(["head=lfb_max"], CONF)
    assert replaced_values(new) == []

    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout.strip()

    def write(*overrides: str, old: str = "", edited: str = "") -> None:
        Path("params.yaml").write_text(params_text(compose_params(list(overrides), CONF)).replace(old, edited))

    git("init", "-q")
    write()
    assert replaced_values(new) == []  # no commit yet
    git("add", "params.yaml")
    git("commit", "-qm", "first")
    assert replaced_values(new) == []
    write(old="feature_dropout: 0.3", edited="feature_dropout: 0.2")
    edit = "head_train.feature_dropout: 0.2, conf/ says 0.3"
    assert replaced_values(new) == [edit]
    write("head=linear")
    assert "head.name: 'linear', conf/ says 'lfb_max'" in replaced_values(new)
    git("commit", "-qam", "linear")
    git("update-ref", "refs/exps/aa/bb/mine", "HEAD")
    git("reset", "-q", "--soft", "HEAD~1")
    assert replaced_values(new) == []  # an experiment has it
    write("head=linear", old="feature_dropout: 0.3", edited="feature_dropout: 0.2")
    assert replaced_values(new) == [edit]
    write("head_train.lr=0.7")
    assert replaced_values(new) == ["head_train.lr: 0.7, conf/ says 0.3"]
    keep_composed(compose_params(["head_train.lr=0.7"], CONF))
    assert replaced_values(new) == []  # an experiment that failed left it there
    Path("params.yaml").write_text("no: [parameters")
    assert replaced_values(new) == []
