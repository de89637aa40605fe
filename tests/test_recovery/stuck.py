"""A rank of a toy training in which one gets stuck: python -m with HOW WHO."""
import os
import signal
import sys
import time
from pathlib import Path

import torch
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

import agvm_mm.cpu
import agvm_mm.recovery.watchdog  # noqa: F401
from tests.toy import ToyDetector

HOW, WHO, WORK_DIR = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
RANK = int(os.environ['RANK'])


def get_stuck(how):
    """In the third of the updates, for good."""
    if how != HOW or RANK != WHO:
        return
    if how == 'stopped':
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == 'raises':
        raise RuntimeError('an error of its own')
    time.sleep(1000)


@DATASETS.register_module()
class Data(torch.utils.data.Dataset):
    reads = 0

    def __len__(self):
        return 40

    def __getitem__(self, index):
        Data.reads += 1
        if Data.reads == 6:
            get_stuck('data')
        return dict(inputs=torch.ones(6), data_samples=torch.ones(10))


@MODELS.register_module()
class Model(ToyDetector):
    passes = 0

    def forward(self, *args, **kwargs):
        Model.passes += 1
        if Model.passes == 3:
            get_stuck('forward')
            get_stuck('stopped')
            get_stuck('raises')
        return super().forward(*args, **kwargs)


if __name__ == '__main__':
    Runner(
        model=dict(type='Model'),
        work_dir=str(WORK_DIR),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=dict(type='Data'),
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler')),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(
            type='AGVMOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=0.01),
            agvm=dict(begin=0, interval=2)),
        custom_hooks=[dict(type='WatchdogHook', timeout=6)],
        default_hooks=dict(checkpoint=None),
        launcher='pytorch',
        cfg=dict(
            model_wrapper_cfg=dict(type='CPUDistributedDataParallel'))).train()
