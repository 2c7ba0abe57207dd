import pytest

from pipeline.base.errors import InputError
from pipeline.interop.checked_config import Checked


def refusal(action) -> str:
    with pytest.raises(InputError) as error:
        action()
    return str(error.value)


def test_what_is_read_is_given_and_what_is_not_read_is_refused() -> None:
    config = Checked({"depth": 50, "name": "x", "norm": {"type": "BN", "eps": 1e-5}}, "backbone")
    assert (config.integer("depth"), config.take("name")) == (50, "x")
    norm = config.block("norm")
    assert norm.one_of("type", "BN", "SyncBN") == "BN"
    assert refusal(config.finish) == "backbone.norm.eps is 1e-05, which is not known here"
    norm.without_effect("eps", "momentum")
    config.finish()


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda config: config.take("width"), "model.width is missing"),
        (lambda config: config.integer("flag"), "model.flag is True, supported: a whole number of at least 1"),
        (lambda config: config.integer("zero"), "model.zero is 0, supported: a whole number of at least 1"),
        (lambda config: config.flag("zero"), "model.zero is 0, supported: True or False"),
        (lambda config: config.fixed("word", "a", "b"), "model.word is 'c', supported: 'a' or 'b'"),
        (lambda config: config.block("word"), "model.word is 'c', expected a mapping"),
        (lambda config: config.one_of("long", 1), f"model.long is '{'x' * 76}..., supported: 1"),
    ],
)
def test_what_is_not_supported_names_key_value_and_what_is(read, message: str) -> None:
    config = Checked({"flag": True, "zero": 0, "word": "c", "long": "x" * 200}, "model")
    assert refusal(lambda: read(config)) == message


def test_an_absent_key_means_the_first_of_the_supported_values() -> None:
    config = Checked({}, "model")
    config.fixed("norm", "BN")
    config.finish()
