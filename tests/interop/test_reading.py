from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.interop.reading import naming, reading


def test_whatever_goes_wrong_names_the_file() -> None:
    with pytest.raises(InputError, match=r"^x\.json: not known$"), reading(Path("x.json")):
        raise InputError("not known")
    with pytest.raises(InputError, match=r"^x\.json: not a whole fixture: KeyError 'cases'$"), reading(Path("x.json")):
        raise KeyError("cases")


def test_what_was_said_gets_the_name_of_the_file_and_other_errors_stay() -> None:
    with pytest.raises(InputError, match=r"^x\.pth: not known$"), naming(Path("x.pth")):
        raise InputError("not known")
    with pytest.raises(KeyError, match="'cases'"), naming(Path("x.pth")):
        raise KeyError("cases")
