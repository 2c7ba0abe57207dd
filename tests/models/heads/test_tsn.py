import torch

from pipeline.models.heads.tsn import INIT_STD, MeanHead


def test_the_order_of_the_segments_changes_nothing() -> None:
    torch.manual_seed(0)
    head = MeanHead(6, classes=3, dropout=0.5).eval()
    features = torch.randn(2, 5, 6)
    torch.testing.assert_close(head(features.flip(1)), head(features))
    wanted = features.mean(1) @ head.classifier.weight.T + head.classifier.bias
    torch.testing.assert_close(head(features), wanted)


def test_dropout_is_of_training_only_and_the_classifier_starts_small() -> None:
    torch.manual_seed(0)
    head = MeanHead(400, classes=50, dropout=0.5)
    features = torch.ones(1, 2, 400)
    assert not torch.equal(head(features), head(features))
    assert torch.equal(head.eval()(features), head(features))
    assert abs(float(head.classifier.weight.detach().std()) / INIT_STD - 1) < 0.05
    assert not head.classifier.bias.any()
