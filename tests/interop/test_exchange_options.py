from typing import get_args

from pipeline.interop.banks.exchange import USUAL_DTYPE
from pipeline.interop.exchange_options import ExportFormat, ImportFormat


def test_every_format_has_a_type_of_numbers_and_what_is_read_is_written() -> None:
    assert set(get_args(ExportFormat)) == USUAL_DTYPE.keys()
    assert set(get_args(ImportFormat)) < set(get_args(ExportFormat))
