"""Run heads of TRN alone, as a fixture describes them, and compare their scores with upstream's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_losses import near
from pipeline.interop.compare_fixture import Difference, ParityReport
from pipeline.interop.conversion import fit_state
from pipeline.interop.fixtures import Array, read_arrays, rule_weight
from pipeline.interop.mmaction2_recognizer import HEAD, RecognizerShape, our_key, recognizer_shape
from pipeline.interop.reading import reading
from pipeline.interop.trn_draws import drawn_input, numpy_draws, relations_of
from pipeline.models.heads.trn import RelationHead
from pipeline.models.heads.tsn import MeanHead
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.models.recognizer import build_recognition_head
from pipeline.models.relations import count_relations

CLOSE = 1e-5
KINDS = {"TRN": "trn", "TRNMultiScale": "trn_multiscale"}
"Upstream's `relation_type`, and our name of the head."


def is_trn_heads(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    cases = facts.get("cases")
    return (
        isinstance(cases, list)
        and bool(cases)
        and all(isinstance(case, dict) and {"keys", "num_segments", "input"} <= case.keys() for case in cases)
    )


def check_trn_heads(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Build the head of every case, fill its weights by the rule, run it and compare draws and scores.

    Args:
        path: the fixture's JSON; the npz lies beside it.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture is not whole, or has a head that is not known here.
    """
    arrays = read_arrays(path.with_suffix(".npz"))
    with reading(path):
        names = [case["name"] for case in facts["cases"]]
        unknown = set(arrays) ^ set(names)
        if unknown:
            raise InputError(
                f"{', '.join(sorted(unknown))}: expected an array for each case, and a case for each array"
            )
        found = [each for case in facts["cases"] for each in _case(case, arrays[case["name"]])]
        upstream = str(facts.get("upstream", "MMAction2")).partition(",")[0]
    return ParityReport(path.stem, upstream, None, None, found, f"{CLOSE:g} + {CLOSE:g} |x|")


def _case(case: Mapping[str, Any], expected: Array) -> list[Difference]:
    name, segments, stated = case["name"], case["num_segments"], case.get("draws_in_order", [])
    head = _built(case)
    differences, relations = [], None
    if isinstance(head, RelationHead):
        random = np.random.RandomState(case["numpy_seed"])
        drawn = numpy_draws(random, segments, head.sizes, head.per_scale)
        numbers = [each["drawn"] for each in stated]
        for scale, mine, theirs in zip(head.sizes[1:], drawn, stated, strict=True):
            totals = [len(mine), *mine], [len(theirs["drawn"]), *theirs["drawn"]]
            differences.append(near(f"{name}/relations of {scale}", *totals, relative=0))
            total = count_relations(segments, scale)
            differences.append(near(f"{name}/number of relations of {scale}", total, theirs["out_of"], relative=0))
        relations = relations_of(numbers, segments, head.sizes)
    features_NC = drawn_input(case["input"]).mean(dim=(2, 3))
    with torch.no_grad():
        logits_BK = head(features_NC.reshape(-1, segments, features_NC.shape[1]), relations)
    return [*differences, near(name, logits_BK, expected, relative=CLOSE, absolute=CLOSE)]


def _built(case: Mapping[str, Any]) -> MeanHead | RelationHead:
    """Build a head with weights by the rule, in evaluation mode."""
    keys, segments = case["keys"], case["num_segments"]
    # A head alone has no backbone; its keys have no prefix.
    shape = recognizer_shape(
        {"backbone.conv1.conv.weight": (1, 3, 1, 1), **{f"{HEAD}{key}": sides for key, sides in keys.items()}}
    )
    kind = case.get("relation_type")
    if KINDS.get(str(kind), "tsn" if kind is None else "") != shape.head or shape.segments not in (segments, None):
        raise InputError(
            f"{case['name']}: relation_type is {kind!r} of {segments} segments, and its keys are those of "
            f"{shape.head} of {shape.segments}"
        )
    with torch.device("meta"):
        head = build_recognition_head(
            head_settings(shape), inputs=keys["fc_cls.weight"][1], segments=segments, classes=shape.classes
        )
    weights = {key: rule_weight(key, sides) for key, sides in keys.items()}
    state, _ = fit_state(
        weights, head.state_dict(), lambda key: (our_key(f"{HEAD}{key}", shape) or "").removeprefix("head.")
    )
    head.load_state_dict(state, assign=True)
    return head.eval()


def head_settings(shape: RecognizerShape, dropout: float = 0.0) -> RecognitionHead:
    """Return the settings of a head with the channels that its weights show."""
    return RecognitionHead(name=shape.head, dropout=dropout, channels=shape.channels, hidden=shape.hidden)
