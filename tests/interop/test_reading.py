from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.interop.reading import reading


def test_whatever_goes_wrong_names_the_file() -> None:
    with pytest.raises(InputError, match=r"^x\.json: not known$"), reading(Path("x.json")):
        raise InputError("not known")
    with pytest.raises(InputError, match=r"^x\.json: not a whole fixture: KeyError 'cases'$"), reading(Path("x.json")):
        raise KeyError("cases")
