from typing import get_args

import pytest

from pipeline.base.errors import InputError
from pipeline.evaluation.protocols import PROTOCOLS, ProtocolName, find_protocol


def test_every_protocol_has_a_name_that_types_know() -> None:
    assert set(PROTOCOLS) == set(get_args(ProtocolName))
    assert all(find_protocol(name) is protocol for name, protocol in PROTOCOLS.items())


def test_no_two_names_are_of_one_protocol() -> None:
    assert len(set(PROTOCOLS.values())) == len(PROTOCOLS)


def test_an_unknown_protocol_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError) as error:
        find_protocol("coco")
    assert str(error.value) == (
        "protocol is 'coco', expected one of official, mmaction2_1x, mmaction2_0x, pyslowfast, alphaction"
    )
