import pytest
import torch
from torch import nn

from trilift.lifting.networks import EncoderDecoder, NetworkSettings


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def normalised(inputs: int, outputs: int) -> int:
    return linear(inputs, outputs) + 2 * outputs


def test_the_published_network_has_its_published_size() -> None:
    block = 2 * normalised(1024, 1024)
    encoder = normalised(32, 1024) + 2 * block + linear(1024, 1024)
    decoder = normalised(1024, 1024) + 2 * block + linear(1024, 48)
    network = EncoderDecoder(32, 48, NetworkSettings())
    assert sum(p.numel() for p in network.parameters()) == encoder + decoder == 10_599_472
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5] * 10


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_a_row_of_inputs_gives_a_row_of_outputs(blocks: int) -> None:
    network = EncoderDecoder(51, 48, NetworkSettings(width=8, latent=5, blocks=blocks)).eval()
    assert network(torch.randn(7, 51)).shape == (7, 48)
    assert network(torch.randn(0, 51)).shape == (0, 48)


def test_blocks_add_to_what_they_are_given() -> None:
    settings = NetworkSettings(width=8, latent=5, blocks=2)
    deep = EncoderDecoder(6, 9, settings).eval()
    flat = EncoderDecoder(6, 9, settings.model_copy(update={"blocks": 0})).eval()
    for half in ("encoder", "decoder"):
        ours, theirs = getattr(deep, half), getattr(flat, half)
        theirs[0].load_state_dict(ours[0].state_dict())
        theirs[-1].load_state_dict(ours[-1].state_dict())
        for parameter in ours[1:-1].parameters():
            nn.init.zeros_(parameter)
    x = torch.randn(4, 6)
    torch.testing.assert_close(deep(x), flat(x), rtol=0, atol=0)


def test_a_block_is_the_sum_of_its_input_and_its_layers() -> None:
    block = EncoderDecoder(6, 9, NetworkSettings(width=8, latent=5, blocks=1)).eval().encoder[1]
    x = torch.randn(4, 8)
    assert not torch.equal(block(x), x)
    torch.testing.assert_close(block(x) - x, block.layers(x))


def test_in_evaluation_rows_do_not_depend_on_each_other() -> None:
    network = EncoderDecoder(6, 9, NetworkSettings(width=8, latent=5)).eval()
    x = torch.randn(5, 6)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]))
