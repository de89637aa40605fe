"""Branches that train: what each begins with."""
import json
import os

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from studies.branch_state import continue_from

from tests.commands import ROOT, call, load, options, run, without
from tests.stack import read
from tests.toy import ToyDetector, build_wrapper, samples

SGD = ROOT / 'configs/digits/faster-rcnn_r18_fpn_sgd_digits.py'
# A hook that tells with what a branch begins, and which images it has.
RECORDER = """
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class BranchRecorder(Hook):
    priority = 'LOWEST'

    def before_train(self, runner):
        state = runner.optim_wrapper.state_dict()
        names = [n for names in state['agvm']['layout'] for n in names]
        self.told = dict(
            momentum={names[i]: s['momentum_buffer'].clone()
                      for i, s in state['state'].items()},
            rates=[group['lr'] for group in state['param_groups']],
            images=[])

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.told['images'] += [
            sample.img_path for sample in data_batch['data_samples']]
        torch.save(self.told, f'{runner.work_dir}/began.pth')
"""


@pytest.mark.parametrize('kind', ['OptimWrapper', 'AGVMOptimWrapper'])
def test_a_branch_has_the_state_and_settings_of_its_own(kind):
    trained, began = (ToyDetector().double() for _ in range(2))
    adam = dict(type='AdamW', lr=0.01, weight_decay=0.05)
    per_bias = dict(bias_lr_mult=2.0)
    more = {} if kind == 'OptimWrapper' else dict(begin=0)
    before = build_wrapper(
        trained, adam, 2, kind, paramwise_cfg=per_bias, **more)
    hub = before.message_hub
    hub.update_info('max_iters', 8)
    for update in range(8):
        inputs, targets = samples(update)
        with before.optim_context(trained):
            loss = trained(inputs, targets, mode='loss')['loss']
        before.update_params(loss)
    saved = before.state_dict()
    wrapper = build_wrapper(
        began,
        dict(adam, lr=0.02, betas=(0.6, 0.996), eps=5e-9),
        2,
        paramwise_cfg=per_bias,
        begin=0,
        ratio_range=(1.0, 1.0))
    continue_from(wrapper, saved, 4.0)
    assert {group['lr'] for group in wrapper.param_groups} == {0.02, 0.04}
    assert all(group['betas'] == (0.6, 0.996) and group['eps'] == 5e-9
               for group in wrapper.param_groups)
    assert wrapper.base_param_settings['lr'] == 0.02
    assert wrapper.clock.updates == 0
    assert set(wrapper.modulator.lr_scale.values()) == {1.0}
    names = dict(began.named_parameters())
    for name, parameter in trained.named_parameters():
        theirs = before.optimizer.state[parameter]
        ours = wrapper.optimizer.state[names[name]]
        assert torch.equal(ours['exp_avg'], theirs['exp_avg'])
        assert torch.equal(ours['exp_avg_sq'], theirs['exp_avg_sq'] / 4)
        assert (theirs['step'], ours['step']) == (4, 1)


def test_a_real_training_is_branched(digits, tmp_path, train):
    """Two batches of two micro-batches and four, two updates and one."""
    small = without('agvm', options(digits))
    work_dir = tmp_path / 'training'
    train(
        SGD,
        *small,
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=10',
        work_dir=work_dir)
    checkpoint = work_dir / 'epoch_1.pth'
    saved = load(checkpoint)['optimizer']
    # A wrapper without AGVM holds them in the model's order.
    init_default_scope('mmdet')
    trained = [
        name for name, parameter in MODELS.build(
            Config.fromfile(SGD).model).named_parameters()
        if parameter.requires_grad
    ]
    momentum = {
        trained[index]: state['momentum_buffer']
        for index, state in saved['state'].items()
    }
    hook = tmp_path / 'recording.py'
    out = tmp_path / 'out'
    command = [
        'python', ROOT / 'tools/study.py', 'branch', SGD,
        checkpoint.relative_to(tmp_path), '--batches', 4, 8, '--images', 8,
        '--loss-images', 4, '--out', 'out', *small,
        'default_hooks.recorder.type=BranchRecorder',
        f'custom_imports.imports=[agvm_mm,agvm_mm.cpu,{hook.stem}]'
    ]
    hook.write_text(RECORDER)
    # Relative paths are the user's, in the branches too.
    paths = os.pathsep.join(['.', os.environ.get('PYTHONPATH', '')])
    printed = run(*command, cwd=tmp_path, PYTHONPATH=paths)
    assert 'critical batch: ' in printed
    assert (out / 'branch.png').is_file()
    rate = saved['param_groups'][0]['lr']
    images = []
    for batch in (4, 8):
        name = f'{SGD.stem}_epoch_1_bs{batch}_seed0'
        found = json.loads((out / f'results/{name}.json').read_text())
        assert found['lr'] == pytest.approx(rate * batch / 4)
        assert found['updates'] == 8 // batch
        assert found['loss'] != found['loss_before']
        began = read(out / f'logs/{name}/began.pth')
        assert began['rates'] == [pytest.approx(rate * batch / 4)] * len(
            began['rates'])
        # Every parameter goes on with its momentum, in another group or not.
        assert began['momentum'].keys() == momentum.keys()
        for parameter, value in momentum.items():
            assert torch.equal(began['momentum'][parameter], value)
        images.append(began['images'])
    assert images[0] == images[1]
    assert len(images[0]) == 8
    # The second time nothing is trained.
    again = call(*command, cwd=tmp_path, timeout=60)
    assert 'updates at' not in again
    assert 'critical batch: ' in again
    assert 'was made with another config: name another folder' in call(
        *command, 'model.backbone.depth=18', 'randomness.seed=7',
        cwd=tmp_path, status=1, timeout=60)
