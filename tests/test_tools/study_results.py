"""Results as the study stores them, made up."""


def result(run, final, **more):
    return dict(
        dict(
            name=run.name,
            run=dict(vars(run)),
            final=final,
            diverged=False,
            seconds=60,
            metric=[[1, final]],
            updates_per_epoch=1920 // run.batch,
            micro_batches=2,
            agvm={}), **more)


def trained(run, curve, **more):
    """A run with a horizon: its metric at even parts of it, and its test."""
    every = run.updates // len(curve)
    made = result(
        run,
        curve[-1],
        metric=[[every * (i + 1), value] for i, value in enumerate(curve)],
        test=curve[-1] - 0.01,
        **more)
    del made['updates_per_epoch']
    return made


def measured(**variance):
    """What AGVM logs, as constant over the training."""
    return dict(
        variance={
            m: [[1, v], [2, v]]
            for m, v in variance.items()
        },
        lr_scale={m: [[1, 1.0], [2, 2.0]]
                  for m in variance},
        noise_scale={m: [[1, 64], [2, 128]]
                     for m in variance})
