import pytest

from pipeline.base.errors import InputError
from pipeline.models.heads.choose import choose_head
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.lfb_nl import NonLocalBank
from pipeline.models.heads.table import build_head

SETTINGS = HeadSettings(roi_channels=6, bank_channels=4, classes=3, map_channels=5, window_seconds=4, per_second=2)


def test_any_table_will_do_and_a_whole_number_is_a_number() -> None:
    told: list[object] = []

    def mine(settings: HeadSettings, *, share: float = 0.5, name: str = "x") -> Head:
        told.append((share, name))
        return Head(None, settings, channels=6)

    choose_head({"mine": mine}, "mine", SETTINGS)
    choose_head({"mine": mine}, "mine", SETTINGS, {"share": 1, "name": "y"})
    assert told == [(0.5, "x"), (1, "y")]
    with pytest.raises(InputError, match=r"^head linear: no such head, expected one of mine$"):
        choose_head({"mine": mine}, "linear", SETTINGS)


def test_options_reach_the_head() -> None:
    bank = build_head("lfb_nl", SETTINGS, {"layers": 3, "latent": 8, "dropout": 0}).shared
    assert isinstance(bank, NonLocalBank)
    assert len(bank.layers) == 3
    assert bank.project_roi.out_features == 8


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "lfb",
            {},
            "head lfb: no such head, expected one of linear, two_layer, acrn, acar, acar_lfb, lfb_nl, lfb_max, "
            "lfb_avg, lfb_nl_split, aia_parallel, aia_serial, aia_dense_serial, aia_split",
        ),
        (
            "lfb_nl",
            {"latnt": 8},
            "head lfb_nl: unknown option latnt, expected layers, latent, dropout, init, window_dropout",
        ),
        ("linear", {"layers": 2}, "head linear: unknown option layers, expected none"),
        ("lfb_nl", {"layers": "two"}, "head lfb_nl: option layers is 'two', expected int"),
        ("lfb_nl", {"layers": True}, "head lfb_nl: option layers is True, expected int"),
        ("lfb_nl", {"dropout": "0.2"}, "head lfb_nl: option dropout is '0.2', expected float"),
    ],
)
def test_what_a_user_can_mistype_is_refused(name, options, message) -> None:
    with pytest.raises(InputError) as error:
        build_head(name, SETTINGS, options)
    assert str(error.value) == message


def test_a_head_that_reads_a_bank_needs_its_channels() -> None:
    with pytest.raises(InputError, match=r"^head lfb_max: it reads a bank, found bank_channels 0$"):
        build_head("lfb_max", HeadSettings(roi_channels=6, bank_channels=0, classes=3))
