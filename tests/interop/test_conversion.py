import re

import pytest
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.conversion import fit_state

NORM = {
    "bn.weight": torch.ones(2),
    "bn.bias": torch.zeros(2),
    "bn.running_mean": torch.zeros(2),
    "bn.running_var": torch.ones(2),
    "bn.num_batches_tracked": torch.tensor(0),
}


def same(key: str) -> str:
    return key


def test_a_folded_norm_gets_the_statistics_with_which_it_does_the_same() -> None:
    scale, shift = torch.tensor([0.5, -2.0]), torch.tensor([1.0, 3.0])
    state, report = fit_state({"bn.weight": scale, "bn.bias": shift}, NORM, same)
    assert report.made == ("bn.running_mean", "bn.running_var", "bn.num_batches_tracked")
    norm = torch.nn.BatchNorm3d(2).eval()
    norm.load_state_dict({key.removeprefix("bn."): value for key, value in state.items()})
    x = torch.randn(3, 2, 1, 4, 4)
    torch.testing.assert_close(norm(x), x * scale.view(2, 1, 1, 1) + shift.view(2, 1, 1, 1))


def test_half_of_a_norms_statistics_is_a_mistake() -> None:
    source = {key: value for key, value in NORM.items() if key != "bn.running_var"}
    with pytest.raises(InputError, match=r"1 keys missing \(bn\.running_var\), 0 unexpected$"):
        fit_state(source, NORM, same)


def test_a_flat_kernel_is_inflated_over_time() -> None:
    flat = torch.randn(4, 3, 7, 7)
    state, report = fit_state({"conv.weight": flat}, {"conv.weight": torch.empty(4, 3, 5, 7, 7)}, same)
    assert torch.equal(state["conv.weight"][:, :, 2], flat / 5)
    torch.testing.assert_close(state["conv.weight"].sum(dim=2), flat)
    assert report.reshaped == ("conv.weight: (4, 3, 7, 7) to (4, 3, 5, 7, 7), inflated over time",)


@pytest.mark.parametrize(
    ("found", "wanted"), [((4, 3, 7, 7), (4, 3, 1, 7, 5)), ((3, 4, 7, 7), (4, 3, 1, 7, 7)), ((4, 1), (2, 2))]
)
def test_shapes_that_only_have_as_many_numbers_are_refused(found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    message = f"w: shape is {found}, expected {wanted} for w"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        fit_state({"w": torch.zeros(found)}, {"w": torch.zeros(wanted)}, same, partial=True)


def test_types_follow_ours_but_numbers_of_another_kind_are_refused() -> None:
    state, _ = fit_state({"w": torch.ones(2, dtype=torch.float16)}, {"w": torch.zeros(2)}, same)
    assert state["w"].dtype == torch.float32
    with pytest.raises(InputError, match=r"^w: shape is \(2,\), expected \(2,\) for w$"):
        fit_state({"w": torch.ones(2, dtype=torch.int64)}, {"w": torch.zeros(2)}, same)


def test_two_keys_for_one_place_are_refused() -> None:
    source = {"a": torch.zeros(1), "b": torch.zeros(1)}
    with pytest.raises(InputError, match=r"^b and a both stand for w$"):
        fit_state(source, {"w": torch.zeros(1)}, lambda key: "w")


def test_the_background_row_is_that_of_the_last_layer() -> None:
    def classifier(rows: int) -> dict[str, Tensor]:
        return {"head.classifier.0.weight": torch.randn(3, 3), "head.classifier.2.weight": torch.randn(rows, 3)}

    source = classifier(5)
    state, report = fit_state(source, classifier(4), same, background="drop")
    assert torch.equal(state["head.classifier.0.weight"], source["head.classifier.0.weight"])
    assert torch.equal(state["head.classifier.2.weight"], source["head.classifier.2.weight"][1:])
    assert report.reshaped == ("head.classifier.2.weight: (5, 3) without its background row to (4, 3)",)


def test_what_is_left_out_is_reported_and_counted() -> None:
    source = {"w": torch.zeros(1), "head.x": torch.zeros(1)}
    state, report = fit_state(source, {"w": torch.zeros(1)}, same, drop={"head.x"})
    assert list(state) == ["w"]
    assert report.dropped == ("head.x",)
    assert report.counts() == {"loaded": 1, "missing": 0, "unexpected": 0, "reshaped": 0, "dropped": 1, "made": 0}
