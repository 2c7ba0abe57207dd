"""Settings of a training that apply only to a backbone with layers, that is, a transformer."""

from torch import nn

from pipeline.base.errors import InputError
from pipeline.base.hardware import Hardware
from pipeline.models.backbones.transformer import Layered
from pipeline.training.settings import Training


def prepare_layers(model: nn.Module, settings: Training, hardware: Hardware) -> None:
    """Set the drop path of the backbone of `model`, and whether it computes its blocks again in the backward pass.

    Args:
        model: what is trained; one without a `Layered` backbone is unchanged.
        settings: `drop_path`.
        hardware: `recompute`.

    Raises:
        InputError: `drop_path` is not 0, and no backbone is trained that has layers.
    """
    check_layers(model, settings.drop_path, f"{settings.block}.drop_path", usual=0)
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, Layered):
        backbone.set_drop_path(settings.drop_path)
        backbone.recompute = hardware.recompute


def check_layers(model: nn.Module, value: float, name: str, *, usual: float) -> None:
    """Refuse a setting that only a `Layered` backbone has.

    Args:
        model: what is trained.
        value: of the setting.
        name: of the setting, for the message.
        usual: the value that changes nothing, which every model accepts.

    Raises:
        InputError: the value is another one, and the model has no such backbone.
    """
    backbone = getattr(model, "backbone", None)
    if value == usual or isinstance(backbone, Layered):
        return
    trained = "no backbone is trained, only a head on a bank" if backbone is None else "the backbone has no layers"
    raise InputError(f"{name} is {value:g}, and {trained}; expected {usual:g}, or a transformer such as videomae_b")
