"""What is known of the classes that count iterations, or that might.

``docs/accumulation.md`` shows these tables, and a test holds that every hook,
sampler and averaged model of MMEngine, MMDetection and MMSegmentation has its
row.
"""
from __future__ import annotations

# Verdicts on a class.
SCALED = 'its counts of iterations are multiplied'
BY_UPDATE = 'acts once an update'
EVERY = 'acts on every micro-batch, as it is meant to'
NONE = 'counts no training iterations'
OURS = 'replaced by TotalBatchSampler'
REFUSED = 'refused'
SPLIT = 'its batch_size is set to the micro-batch'
DEALT = 'stays in a loop of iterations, refused in one of epochs'

# Settings of hooks that count iterations, with the default where leaving one
# out means a number.
HOOK_COUNTS: dict[str, dict[str, int | None]] = {
    'LoggerHook': dict(interval=10, interval_exp_name=None),
    'CheckpointHook': dict(interval=None, save_begin=None),
    'EMAHook': dict(interval=1, begin_iter=None),
    'MeanTeacherHook': dict(interval=1),
    'CheckInvalidLossHook': dict(interval=50),
    'MemoryProfilerHook': dict(interval=50),
}
HOOKS = {
    **dict.fromkeys(HOOK_COUNTS, SCALED),
    **dict.fromkeys(('ParamSchedulerHook', 'UpdateParamSchedulerHook', 'UpdateEMAHook'), BY_UPDATE),
    **dict.fromkeys(('EmptyCacheHook', 'IterTimerHook', 'RuntimeInfoHook', 'ProfilerHook', 'NPUProfilerHook'), EVERY),
    **dict.fromkeys(('DetVisualizationHook', 'DistSamplerSeedHook', 'EarlyStoppingHook', 'GroundingVisualizationHook', 'NaiveVisualizationHook', 'NumClassCheckHook', 'PipelineSwitchHook', 'PrepareTTAHook', 'SegVisualizationHook', 'SetEpochInfoHook', 'SyncBuffersHook', 'SyncNormHook', 'TotalBatchSizeHook', 'TrackVisualizationHook', 'YOLOXModeSwitchHook'), NONE),
}

# The averaged models of EMAHook. All but the plain one weigh by the count of
# their steps; so may one that is not known.
AVERAGES = {
    'ExponentialMovingAverage': SCALED,
    'StochasticWeightAverage': BY_UPDATE,
    'MomentumAnnealingEMA': BY_UPDATE,
    'ExpMomentumEMA': BY_UPDATE,
}

SAMPLERS = {
    **dict.fromkeys(('DefaultSampler', 'InfiniteSampler', 'TotalBatchSampler'), OURS),
    **dict.fromkeys(('MultiSourceSampler', 'GroupMultiSourceSampler'), SPLIT),
    **dict.fromkeys(('ClassAwareSampler', 'CustomSampleSizeSampler', 'MultiDataSampler', 'TrackImgSampler'), DEALT),
    **dict.fromkeys(('AspectRatioBatchSampler', 'TrackAspectRatioBatchSampler'), SPLIT),
    'MultiDataAspectRatioBatchSampler':
    REFUSED,
}

# Parts of models that count iterations, as HOOK_COUNTS.
MODEL_COUNTS = {
    'DropBlock': dict(warmup_iters=2000),
    'BoxInstMaskHead': dict(warmup_iters=10000),
    'BatchSyncRandomResize': dict(interval=10),
}
