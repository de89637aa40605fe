# The twin without AGVM: where every factor is clipped to 1, the variances are
# measured and nothing is changed.
_base_ = './faster-rcnn_agvm_large-batch_digits.py'
optim_wrapper = dict(agvm=dict(ratio_range=(1.0, 1.0)))
