import pytest
import torch
from pydantic import ValidationError
from torch import nn

from trilift.lifter.networks import EncoderDecoder, Residual, Temporal, build
from trilift.lifter.settings import NetworkSettings

PUBLISHED = NetworkSettings(kind="encoder_decoder", width=1024, blocks=2, dropout=0.5)
SMALL = NetworkSettings(kind="residual", width=8, blocks=2)


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def normalised(inputs: int, outputs: int) -> int:
    return linear(inputs, outputs) + 2 * outputs


def test_the_published_network_has_its_published_size() -> None:
    block = 2 * normalised(1024, 1024)
    encoder = normalised(32, 1024) + 2 * block + linear(1024, 1024)
    decoder = normalised(1024, 1024) + 2 * block + linear(1024, 48)
    network = build(32, 48, PUBLISHED)
    assert sum(p.numel() for p in network.parameters()) == encoder + decoder == 10_599_472
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5] * 10


def test_the_temporal_network_has_the_size_of_its_source() -> None:
    # 16.95 million parameters: VideoPose3D's 243 frames, 17 joints in and out, width 1024, without the biases of its
    # convolutions before a normalisation.
    network = build(34, 51, NetworkSettings(kind="temporal", width=1024, frames=243))
    biases = sum(m.bias.numel() for m in network.modules() if isinstance(m, nn.Conv1d) and m.bias is not None) - 51
    assert sum(p.numel() for p in network.parameters()) - biases == 16_952_371


@pytest.mark.parametrize("kind", ["encoder_decoder", "residual"])
@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_a_row_of_inputs_gives_a_row_of_outputs(kind: str, blocks: int) -> None:
    network = build(51, 48, NetworkSettings(kind=kind, width=8, blocks=blocks)).eval()
    assert network(torch.randn(7, 51)).shape == (7, 48)
    assert network(torch.randn(0, 51)).shape == (0, 48)


def test_blocks_add_to_what_they_are_given() -> None:
    deep = Residual(6, 9, SMALL).eval()
    flat = Residual(6, 9, SMALL.model_copy(update={"blocks": 0})).eval()
    flat[0].load_state_dict(deep[0].state_dict())
    flat[-1].load_state_dict(deep[-1].state_dict())
    for parameter in nn.ModuleList(list(deep)[1:-1]).parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(4, 6)
    torch.testing.assert_close(deep(x), flat(x), rtol=0, atol=0)


def test_a_block_is_the_sum_of_its_input_and_its_layers() -> None:
    block = EncoderDecoder(6, 9, SMALL).eval().encoder[1]
    x = torch.randn(4, 8)
    assert not torch.equal(block(x), x)
    torch.testing.assert_close(block(x) - x, block.layers(x))


def test_in_evaluation_rows_do_not_depend_on_each_other() -> None:
    network = build(6, 9, SMALL).eval()
    x = torch.randn(5, 6)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]))


def settled(frames: int) -> Temporal:
    """A temporal network whose normalisations have seen data."""
    network = Temporal(6, 9, NetworkSettings(kind="temporal", width=8, frames=frames, dropout=0.3))
    for _ in range(3):
        network(torch.randn(16, frames, 6))
    return network.eval()


@pytest.mark.parametrize("frames", [9, 27, 81])
def test_windows_and_the_whole_sequence_give_the_same_poses(frames: int) -> None:
    network = settled(frames)
    sequence = torch.randn(2, frames + 10, 6)
    windows = sequence.unfold(1, frames, 1).transpose(2, 3)  # (2, 11, frames, 6)
    each = network(windows.reshape(-1, frames, 6)).reshape(2, 11, 9)
    torch.testing.assert_close(network.slide(sequence), each, rtol=1e-5, atol=1e-5)


def test_a_temporal_network_sees_its_frames_and_no_others() -> None:
    network = Temporal(6, 9, NetworkSettings(kind="temporal", width=8, frames=27)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()  # and so are the inputs: no unit is dead, which would hide what the network sees
    sequence = torch.rand(1, 60, 6, requires_grad=True)
    network.slide(sequence)[0, 10].sum().backward()
    assert sequence.grad is not None
    seen = sequence.grad.abs().sum((0, 2)).nonzero()[:, 0].tolist()
    assert seen == list(range(10, 37))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "residual", "frames": 27}, "see one frame"),
        ({"kind": "temporal"}, "27, 81, 243"),
        ({"kind": "temporal", "frames": 28}, "27, 81, 243"),
        ({"kind": "temporal", "frames": 27, "blocks": 3}, "follow from frames"),
    ],
)
def test_what_does_not_fit_the_kind_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NetworkSettings.model_validate(wrong)
