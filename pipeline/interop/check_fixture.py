"""Check any parity fixture; its kind follows from the keys that it holds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.base.files import read_json
from pipeline.interop.acar_fixture import check_acar, is_acar_fixture
from pipeline.interop.alphaction_fixture import check_alphaction
from pipeline.interop.alphaction_memory import check_memory_dynamics, is_memory_dynamics
from pipeline.interop.alphaction_ops import check_operations, is_operations
from pipeline.interop.alphaction_steps import check_train_steps, is_train_steps
from pipeline.interop.alphaction_targets import check_targets, is_targets
from pipeline.interop.compare_fixture import ParityReport, check_parity
from pipeline.interop.hiera_fixture import check_hiera, is_hiera
from pipeline.interop.trn_filelists import check_file_lists, is_file_lists
from pipeline.interop.trn_fixture import check_recognizer, is_recognizer
from pipeline.interop.trn_head import check_trn_heads, is_trn_heads
from pipeline.interop.trn_pipeline import check_pipeline, is_pipeline
from pipeline.interop.trn_steps import check_recognizer_steps, is_recognizer_steps
from pipeline.interop.videomae_fixture import check_videomae, is_videomae
from pipeline.interop.videomae_rates import check_groups, check_rates, is_groups, is_rates

Check = Callable[[Path, Mapping[str, Any]], ParityReport]


def check_fixture(path: Path) -> ParityReport:
    """Compute what a fixture states, and compare every number.

    Args:
        path: the fixture's JSON; its npz lies beside it.

    Raises:
        InputError: a file is absent or of no known kind, or states something that is not known here.
    """
    facts = read_json(path)
    facts = facts if isinstance(facts, dict) else {}
    check = next((check for belongs, check in KINDS if belongs(facts)), None)
    return check(path, facts) if check else check_parity(path)


def _is_alphaction(facts: Mapping[str, Any]) -> bool:
    config = facts.get("resolved_config")
    model = config.get("MODEL") if isinstance(config, dict) else None
    return isinstance(model, dict) and "ROI_ACTION_HEAD" in model


# A kind is told by what its facts hold; all others are fixtures of detectors (`check_parity`).
KINDS: list[tuple[Callable[[Mapping[str, Any]], bool], Check]] = [
    (_is_alphaction, check_alphaction),
    (is_acar_fixture, check_acar),
    (is_operations, check_operations),
    (is_memory_dynamics, check_memory_dynamics),
    (is_train_steps, check_train_steps),
    (is_targets, check_targets),
    (is_pipeline, check_pipeline),
    (is_file_lists, check_file_lists),
    (is_trn_heads, check_trn_heads),
    (is_recognizer, check_recognizer),
    (is_recognizer_steps, check_recognizer_steps),
    (is_hiera, check_hiera),
    (is_videomae, check_videomae),
    (is_groups, check_groups),
    (is_rates, check_rates),
]
