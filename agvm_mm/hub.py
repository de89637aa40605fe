"""This package's configs, for MMEngine's ``agvm_mm::`` names."""
from mmengine.config.utils import MODULE2PACKAGE


def register_configs() -> None:
    """Let MMEngine find this package's configs by ``agvm_mm::`` names.

    MMEngine knows the packages of OpenMMLab alone. After this call, in the
    same process, ``mmengine.hub.get_config('agvm_mm::FOLDER/NAME.py')`` reads
    a config, and the configs that are read may name one as their ``_base_``.

    ``tools/train.py`` of this repository calls it. That of mmdet or mmseg
    does not: there a config inherits by ``read_base`` from
    :mod:`agvm_mm.configs`.
    """
    # The name of a module, not of the distribution: MMEngine then takes the
    # folder that holds it, which is right for editable installs too.
    MODULE2PACKAGE['agvm_mm'] = __name__
