"""Check, before anything runs, that everything a configuration reads from outside the project is there."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.bank.reader import Bank, check_pair, check_producer
from pipeline.bank.remote import is_elsewhere, open_place
from pipeline.bank.windows.seconds import check_banks, index_rows
from pipeline.base.command import RECOGNITION
from pipeline.base.errors import InputError
from pipeline.base.plain_yaml import read_yaml
from pipeline.params import Params
from pipeline.params.recognition import RecognitionParams

NOTHING = "conf/none/"  # placeholders, below this folder, for paths that a choice does not need
PRODUCER = "if it is the bank you want, bank.producer=FOUND takes it, and bank.allow_mixed=true takes any"


def check_ready(params: Params) -> None:
    """Stop if a source, a file of weights or an external bank is missing, or if the banks do not fit.

    A path in dvc.lock is not checked: a stage has read it before, and DVC knows whether the run needs it again.

    Raises:
        InputError: one line with all that is missing and where to get it, or with what is wrong with the banks.
    """
    if missing := _missing(_outside(params), Path("dvc.lock")):
        raise InputError(_told(missing, params.dataset.name) + _moved(missing, params.dataset.name))
    if params.bank.name == "external" and not params.head.is_baseline:
        places = params.bank.train, params.bank.val
        if all(is_elsewhere(place) or Path(place).exists() for place in places):
            _check_external(params, open_place(places[0]), open_place(places[1]))


def check_recognition_ready(track: RecognitionParams) -> None:
    """Stop if a source or a file of weights of the recognition track is missing, as `check_ready`.

    Raises:
        InputError: one line with all that is missing and where to get it.
    """
    if missing := _missing(_outside_recognition(track), RECOGNITION.with_name("dvc.lock")):
        raise InputError(_told(missing, track.dataset.name))


def _missing(outside: Iterable[tuple[str, str]], lock: Path) -> dict[str, str]:
    """Return the inputs that are neither here nor known to DVC, with their origins."""
    missing = {path: origin for path, origin in outside if not _is_there(path)}
    known = _read_before(lock) if missing else set()
    return {path: origin for path, origin in missing.items() if path not in known}


def _told(missing: Mapping[str, str], dataset: str) -> str:
    return f"what this experiment on dataset {dataset} reads is not here, so nothing has run: " + "; ".join(
        f"{path} ({origin})" for path, origin in missing.items()
    )


def _outside_recognition(track: RecognitionParams) -> Iterator[tuple[str, str]]:
    """Yield the path and origin of each input that only the user can bring."""
    dataset = track.dataset
    if not dataset.generate:
        for key in ("videos", "labels"):
            file = f"conf/recognition/dataset/{dataset.name}.yaml"
            yield getattr(dataset, key), dataset.origin or f"recognition.dataset.{key} of {file}"
    if track.train.init != "none":
        of = f"; the row starts from {track.reported.initial_weights}" if track.reported else ""
        yield track.train.init, f"`actionbank convert CHECKPOINT --to {track.train.init}` makes it{of}"


def _moved(missing: Iterable[str], dataset: str) -> str:
    """Return a hint if a missing absolute path exists below this folder: the project was probably moved or renamed.

    `actionbank new-dataset` writes absolute paths for films that are in neither Git nor DVC.
    """
    here = Path.cwd()
    for path in map(Path, missing):
        names = path.parts[1:] if path.is_absolute() else ()
        # Look here for what follows the old folder's name. (`data` and `models` are in every project.)
        tails = [Path(*names[at:]) for at in range(1, len(names))]
        found = any((here / tail).exists() for tail in tails if str(tail) not in ("data", "models"))
        if found or here.name in names:
            again = f"`actionbank new-dataset {dataset} --videos DIR ... --force` writes the paths anew"
            return f". Was the project moved? {again}"
    return ""


def _outside(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the path and origin of each input that only the user can bring."""
    dataset = params.dataset
    origins = {str(name): origin for name, origin in dataset.origins.items()}
    if not dataset.generate:
        names = [
            "clips",
            "videos",
            "annotations",
            "objects",
            *(["proposals"] if params.boxes.detector == "none" else []),
        ]
        for name in names:
            path = getattr(dataset, name)
            origin = origins.get(name, f"dataset.{name} of conf/dataset/{dataset.name}.yaml")
            if name != "annotations" and params.scope.name == "head" and params.bank.name == "external":
                origin += "; a run of the target evaluate alone does not read it"
            if not path.startswith(NOTHING):
                yield path, origin
    if params.boxes.detector == "fasterrcnn" and not params.boxes.weights.startswith(NOTHING):
        yield params.boxes.weights, "boxes.weights"
    if params.bank.name == "external":
        for split in ("train", "val"):
            yield getattr(params.bank, split), f"bank.{split}; `actionbank bank import` or `dvc import` makes it"
    for path in sorted(_initial_weights(params) - {"none"}):
        of = f"; the row starts from {params.reported.initial_weights}" if params.reported else ""
        yield path, f"`actionbank convert CHECKPOINT --to {path}` makes it{of}"


def _initial_weights(params: Params) -> set[str]:
    """List the files of backbone weights that the trainings start from."""
    files = {params.baseline.init} if params.inputs["baseline"] else set()
    if params.scope.name == "all" and params.head_train.init == "kinetics" and not params.head.is_baseline:
        files.add(params.head_train.kinetics)
    return files


def _is_there(path: str) -> bool:
    """Return whether there is a file, a folder with content, or the `.dvc` file of a `dvc add` or `dvc import`."""
    if is_elsewhere(path):  # opened by `check_ready`, which says what is wrong with it
        return True
    place = Path(path)
    if place.is_file() or (place.is_dir() and any(each.name != ".gitignore" for each in place.iterdir())):
        return True
    return any(Path(f"{each}.dvc").is_file() for each in (place, *place.parents) if each.name)


def _read_before(lock: Path) -> set[str]:
    """List the paths that a stage has read before, by its dvc.lock."""
    stages = (read_yaml(lock).get("stages") if lock.is_file() else None) or {}
    return {dep["path"] for stage in stages.values() for dep in stage.get("deps", [])}


def _check_external(params: Params, train: Bank, val: Bank) -> None:
    """Check external banks as the stages will, so that errors appear before hours of work.

    Raises:
        InputError: a bank has another split or producer, the banks differ, or they lack what the head reads.
    """
    mixed, scope = params.bank.allow_mixed, params.scope.name
    for split, bank in (("train", train), ("val", val)):
        if bank.split != split:
            raise InputError(f"{bank.where}: is a bank of split {bank.split}, bank.{split} expects one of {split}")
        check_producer(bank, params.bank.producer, allow_mixed=mixed, remedy=PRODUCER)
    check_pair(train, val, allow_mixed=mixed)
    if scope == "head":
        for bank, row_set in ((train, "ground_truth"), (val, "detections")):
            if not _has_boxes(bank, row_set):
                raise InputError(
                    f"{bank.where}: has no boxes of {row_set}, on which scope=head trains or scores; scope=all takes "
                    "persons from frames, and this bank for windows"
                )
    if params.head.window is not None:
        check_banks((train, val), params.head.window.score)
        for bank in (train, val):
            filled = [video for video in bank.videos if bank.count("detections", video)]
            if filled:
                index_rows(bank, filled[0], params.head.window.score)


def _has_boxes(bank: Bank, row_set: str) -> bool:
    rows = [part.row_sets[row_set] for part in bank.manifest.parts.values() if row_set in part.row_sets]
    return bool(rows) and all("boxes_xyxy" in each.shard_bytes for each in rows)
