from mmengine.optim import OptimWrapperDict

from agvm_mm.compat.optim_wrapper_dict import name_in_dict, wrappers_in
from tests.toy import ToyDetector, build_wrapper


def test_the_children_and_their_names():
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
    single = build_wrapper(ToyDetector())
    assert name_in_dict(single) is None
    assert wrappers_in(several) == children
    assert wrappers_in(single) == {None: single}
