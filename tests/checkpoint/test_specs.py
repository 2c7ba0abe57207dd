"""The spec of a head that is to be trained."""

from pipeline.checkpoint.specs import FeatureSource, head_spec
from pipeline.models.settings import Labels, LongTermHead, WindowSettings

SOURCE = FeatureSource(backbone=None, width=None, input=None, roi=None, channels=24, sha256="0")
WINDOW = WindowSettings(seconds=3, per_second=2, mask="valid", score=0.5)


def test_the_channels_are_the_sources_and_the_columns_the_labels() -> None:
    for window, bank in ((WINDOW, 24), (None, 0)):
        head = LongTermHead(name="x", reads="bank" if window else "features", standardise="none", window=window)
        spec = head_spec(
            head, SOURCE, scope="head", labels=Labels("single", background=True), classes=5,
            dropout=0.5, feature_dropout=0.1, threads=2,
        )  # fmt: skip
        assert (spec.roi_channels, spec.bank_channels, spec.columns, spec.kind) == (24, bank, 6, "head")
