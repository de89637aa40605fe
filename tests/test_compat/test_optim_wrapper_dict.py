from mmengine.optim import OptimWrapperDict

from agvm_mm.compat.optim_wrapper_dict import name_in_dict
from tests.toy import ToyDetector, build_wrapper


def test_a_child_learns_its_name():
    children = {
        name: build_wrapper(ToyDetector(), type=type_)
        for name, type_ in (('generator', 'AGVMOptimWrapper'),
                            ('discriminator', 'OptimWrapper'))
    }
    # In a dict, and in one that is somebody else's.
    for child in children.values():
        assert name_in_dict(child) is None
    several = OptimWrapperDict(**children)
    for name, child in several.items():
        assert name_in_dict(child) == name
    assert name_in_dict(build_wrapper(ToyDetector())) is None
