"""What is known of the classes that count iterations, or that might.

Under accumulation an iteration is a micro-batch, of which an update has
several. ``docs/accumulation.md`` shows these tables, and a test holds that no
hook or sampler of MMEngine, MMDetection and MMSegmentation, or of their OneDL
forks, is left out.
"""
from __future__ import annotations

SCALED = 'what it counts is multiplied'
BY_UPDATE = 'acts once an update'
EVERY = 'acts on every micro-batch, as it is meant to'
NONE = 'counts no iterations of the training'
OURS = 'TotalBatchSampler deals in its place'
UNEVEN = ('hands out the micro-batches of TotalBatchSampler where the '
          'processes do not divide the total')
SPLIT = 'its `batch_size` is set to the micro-batch'
BY_SHAPE = ('TotalBatchSampler groups by shape in its place, within an '
            'update; upon any other sampler its `batch_size` is set to the '
            'micro-batch')
BY_ITERATION = ('an update takes what comes next; refused where the loop '
                'counts epochs')
REFUSED = 'refused: its batches are of several sizes'

# Settings of hooks that count iterations, with the default where leaving one
# out means a number.
HOOK_COUNTS: dict[str, dict[str, int | None]] = {
    'CheckInvalidLossHook': dict(interval=50),
    'CheckpointHook': dict(interval=None, save_begin=None),
    'LoggerHook': dict(interval=10, interval_exp_name=None),
    'MeanTeacherHook': dict(interval=1),
    'MemoryProfilerHook': dict(interval=50),
    'SafeCheckpointHook': dict(interval=None, save_begin=None),
    'TrainAugmentDetVisualizationHook': dict(interval=50),
}
# Those of them that count epochs unless they are told otherwise.
BY_EPOCH = ('CheckpointHook', 'SafeCheckpointHook')
HOOKS = {
    'CheckInvalidLossHook': SCALED,
    'CheckpointHook': SCALED,
    'DetVisualizationHook': NONE,
    'DistSamplerSeedHook': NONE,
    'EMAHook': 'becomes `UpdateEMAHook`',
    'EarlyStoppingHook': NONE,
    'EmptyCacheHook': EVERY,
    'GroundingVisualizationHook': NONE,
    'IterTimerHook': EVERY,
    'LoggerHook': SCALED,
    'LossWeightHook': EVERY,
    'MeanTeacherHook': SCALED,
    'MemoryProfilerHook': SCALED,
    'NPUProfilerHook': EVERY,
    'NaiveVisualizationHook': NONE,
    'NumClassCheckHook': NONE,
    'ParamSchedulerHook': BY_UPDATE,
    'PipelineSwitchHook': NONE,
    'PreemptionHook': BY_UPDATE,
    'PrepareTTAHook': NONE,
    'ProfilerHook': EVERY,
    'ResumedEarlyStoppingHook': NONE,
    'RuntimeInfoHook': EVERY,
    'SafeCheckpointHook': SCALED,
    'SeededUpdatesHook': EVERY,
    'SegVisualizationHook': NONE,
    'SetEpochInfoHook': NONE,
    'SyncBuffersHook': NONE,
    'SyncNormHook': NONE,
    'TotalBatchSizeHook': NONE,
    'TrackVisualizationHook': NONE,
    'TrainAugmentDetVisualizationHook': SCALED,
    'UpdateEMAHook': BY_UPDATE,
    'UpdateParamSchedulerHook': BY_UPDATE,
    'WatchdogHook': EVERY,
    'YOLOXModeSwitchHook': NONE,
}

SAMPLERS = {
    'AspectRatioBatchSampler': BY_SHAPE,
    'ClassAwareSampler': BY_ITERATION,
    'CustomSampleSizeSampler': BY_ITERATION,
    'DefaultSampler': OURS,
    'GroupMultiSourceSampler': SPLIT,
    'InfiniteSampler': OURS,
    'MicroBatchSampler': UNEVEN,
    'MultiDataAspectRatioBatchSampler': REFUSED,
    'MultiDataSampler': BY_ITERATION,
    'MultiSourceSampler': SPLIT,
    'TotalBatchSampler': OURS,
    'TrackAspectRatioBatchSampler': SPLIT,
    'TrackImgSampler': BY_ITERATION,
}

# Settings of parts of models that count iterations, as HOOK_COUNTS.
MODEL_COUNTS = {
    'BatchSyncRandomResize': dict(interval=10),
    'BoxInstMaskHead': dict(warmup_iters=10000),
    'DropBlock': dict(warmup_iters=2000),
}
