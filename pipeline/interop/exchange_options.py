"""What a user may choose of imports and exports, apart from the code that does them, which takes long to import."""

from typing import Literal

ImportFormat = Literal["mmaction2", "caffe2", "hdf5"]
"Formats of banks that are read; the first bytes of a file tell them."
ExportFormat = Literal["mmaction2", "mmaction2-list", "caffe2", "hdf5"]
Background = Literal["drop", "keep"]
"What becomes of the row of a classifier that stands for no action."
NO_FRAMES = ["frames.allow_smaller=true"]
"A conversion does not depend on the size of the frames that the current data set stores."
