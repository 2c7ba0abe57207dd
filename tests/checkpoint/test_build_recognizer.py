import torch

from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.models.build import parameter_count
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.video.view_input import ViewInput

INPUT = ViewInput(short_side=256, crop=224, mean=(1, 2, 3), std=(4, 5, 6))


def test_the_published_recognizer_has_the_published_number_of_parameters() -> None:
    head = RecognitionHead(name="trn_multiscale", dropout=0.8, channels=256, hidden=256)
    spec = RecognizerSpec(backbone="resnet50", width=None, input=INPUT, head=head, segments=8, classes=174)
    with torch.device("meta"):
        assert parameter_count(build_recognizer(spec)) == 26_641_154
