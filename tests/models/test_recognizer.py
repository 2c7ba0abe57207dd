import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.models.heads.trn import RelationHead
from pipeline.models.heads.tsn import MeanHead
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.models.recognizer import Recognizer, build_recognition_head, build_recognizer_backbone

TRN = RecognitionHead(name="trn", dropout=0.5, channels=8, hidden=9)
MULTI = RecognitionHead(name="trn_multiscale", dropout=0.5, channels=8, hidden=9, per_scale=2, relation_seed=4)
TSN = RecognitionHead(name="tsn", dropout=0.5)


def recognizer(head: RecognitionHead) -> Recognizer:
    torch.manual_seed(0)
    backbone = build_recognizer_backbone("resnet_tiny", width=8)
    return Recognizer(
        backbone, build_recognition_head(head, inputs=backbone.out_channels, segments=4, classes=3)
    ).eval()


@pytest.mark.parametrize("head", [TSN, TRN, MULTI])
def test_each_view_is_scored_by_itself(head: RecognitionHead) -> None:
    model = recognizer(head)
    views = torch.randn(3, 4, 3, 40, 48)
    with torch.no_grad():
        logits = model(views)
        assert logits.shape == (3, 3)
        alone = torch.cat([model(view[None]) for view in views])
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-6)


def test_all_frames_go_through_the_backbone_as_one_batch() -> None:
    model, seen = recognizer(TSN), []
    model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    views = torch.randn(2, 4, 3, 32, 32)
    model(views)
    assert [each.shape for each in seen] == [(8, 3, 32, 32)]
    assert seen[0].data_ptr() == views.data_ptr()  # no copy before it


def test_settings_become_heads() -> None:
    single, multi = (build_recognition_head(each, inputs=5, segments=4, classes=3) for each in (TRN, MULTI))
    assert isinstance(single, RelationHead)
    assert isinstance(multi, RelationHead)
    assert (single.sizes, multi.sizes, multi.per_scale) == ((4,), (4, 3, 2), 2)
    assert isinstance(build_recognition_head(TSN, inputs=5, segments=1, classes=3), MeanHead)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"^head trn: segments is 1, expected at least 2, whose order it learns$"):
        build_recognition_head(TRN, inputs=5, segments=1, classes=3)
    message = r"^recognition backbone resnet: no such backbone, expected one of resnet50, resnet_tiny$"
    with pytest.raises(InputError, match=message):
        build_recognizer_backbone("resnet")
    with pytest.raises(InputError, match=r"^recognition backbone resnet50: width is 12, expected a multiple of 8$"):
        build_recognizer_backbone("resnet50", width=12)
