"""Operations and bytes, against a count by hand."""

from llm.config import RunConfig
from llm.cost.shape import network
from llm.cost.work import count_work


def test_counted_work():
    """By hand for 14m: 6 layers of width 128, 512 in the middle, 50304 tokens, 256 positions."""
    config = RunConfig(model="pythia-14m")
    size = network(config)
    layer = 4 * 128**2 + 2 * 128 * 512 + 3 * 128 + 128 + 512 + 128 + 4 * 128
    assert size.parameters == 2 * 50304 * 128 + 6 * layer + 2 * 128
    work = count_work(config, size.parameters)
    attention = 6 * 2 * 128 * 256 * 257
    assert work.step_operations == 3 * (2 * 256 * (size.parameters - 50304 * 128) + attention)
    assert work.evaluation_operations == 25 * work.step_operations // 3
    assert work.step_bytes == 24 * size.parameters - 8 * 50304 * 128
    in_products = count_work(RunConfig(model="pythia-14m", version=2), size.parameters)
    assert in_products.step_bytes == 16 * (size.parameters - 50304 * 128)
    adam = count_work(RunConfig(model="pythia-14m", optimizer="adam"), size.parameters)
    assert adam.step_bytes - work.step_bytes == 16 * size.parameters
