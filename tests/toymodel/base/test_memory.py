import pytest

from toymodel.base.errors import InputError
from toymodel.base.memory import refuse_if_too_large
from toymodel.base.words import arg


def test_what_does_not_fit_is_named_in_the_words_of_whoever_reads():
    refuse_if_too_large(100, "a little", "nothing", limit=100)
    with pytest.raises(InputError) as error:
        refuse_if_too_large(
            3 * 2**20, arg("model", "big") + " (wide)", "a smaller " + arg("model"), limit=2**20
        )
    assert (
        str(error.value)
        == "model='big' (wide) would take 3 MiB; expected at most 1 MiB. Fix: a smaller model"
    )
    assert (
        str(error.value.in_flags({"model": "--model"}))
        == "--model big (wide) would take 3 MiB; expected at most 1 MiB. Fix: a smaller --model"
    )
