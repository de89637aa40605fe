"""How AGVM treats each optimizer that it knows.

Three treatments. *Exact*: the update's part that depends on this gradient is
the gradient over what the optimizer's state holds, or the gradient itself, and
that is what is compared. *By the raw gradient*: the step follows the learning
rate of its group, but is no such quotient. *Refused*: a factor for each module
has no meaning, or cannot be had.

``tests/test_measuring/test_optimizer_table.py`` steps them, and
``docs/optimizers.md`` is written from here.
"""
from __future__ import annotations

from typing import NamedTuple

from . import moments
from .moments import MomentOf


class Treatment(NamedTuple):
    """What is done with an optimizer.

    Attributes:
        kind (str): 'exact', 'raw' or 'refused'.
        why (str): What it divides by, or a half sentence that tells why it is
            not exact.
        mend (str): Of a refused one: what to do instead.
        moment (Callable, optional): Of :mod:`~agvm_mm.measuring.moments`; None
            if the direction is the gradient.
    """
    kind: str
    why: str
    mend: str = ''
    moment: MomentOf | None = None


def _raw(why: str) -> Treatment:
    return Treatment('raw', why)


OTHER = 'Take SGD or AdamW, or leave AGVM out'

GRADIENT = Treatment('exact', 'nothing: the gradient itself')
ADAM = Treatment(
    'exact', 'sqrt(`exp_avg_sq`) + eps', moment=moments.of_adam)
ADABELIEF = Treatment(
    'exact', 'sqrt(`exp_avg_var`) + eps', moment=moments.of_adabelief)
ADAGRAD = Treatment('exact', 'sqrt(`sum`) + eps', moment=moments.of_adagrad)
RMSPROP = Treatment(
    'exact',
    'sqrt(`square_avg`) + eps; centred, less the squared `grad_avg`',
    moment=moments.of_rmsprop)
ADAMAX = Treatment('exact', '`exp_inf`', moment=moments.of_adamax)
ADADELTA = Treatment(
    'exact',
    'sqrt((`square_avg` + eps) / (`acc_delta` + eps))',
    moment=moments.of_adadelta)
TWO_STATES = Treatment(
    'exact',
    'sqrt(`state2`) + eps, unpacked if in 8 bits',
    moment=moments.of_bitsandbytes)
ONE_STATE = Treatment(
    'exact',
    'sqrt(`state1`) + eps, unpacked if in 8 bits',
    moment=moments.of_bitsandbytes_with_one)

SIGN = _raw('its step is made of signs')
NORMALISED = _raw('it divides whole tensors by norms of this very update')
CLIPPED = _raw('it clips or masks element by element')
MATRIX = _raw('it multiplies by matrices, or projects, and does not divide '
              'element by element')
MIXED = _raw('it mixes this gradient into its divisor, or adds it with '
             'weights that depend on it')

ONE_RATE = Treatment('refused',
                     'it estimates one learning rate for all groups', OTHER)
OTHER_STEP = Treatment(
    'refused', "its step is not in proportion to its group's lr", OTHER)
COUPLED = Treatment(
    'refused', 'its step holds one number of a whole group, which is another '
    'one in a group for each module', OTHER)
OBJECTS = Treatment(
    'refused', "it keeps objects in its groups or state, which torch's safe "
    'loader takes from no checkpoint, so that no run could be resumed', OTHER)
FACTORED = Treatment(
    'refused', 'it keeps its second moments factored, by rows and columns',
    OTHER)
SHARDED = Treatment(
    'refused', 'it shards its state over the ranks',
    "Take the optimizer itself, or FSDP with 'AGVMFSDPStrategy'")
MODES = Treatment(
    'refused', 'it must be told by train() and eval() what the model is '
    'doing, which MMEngine does not', OTHER)
CLOSURE = Treatment(
    'refused', 'it evaluates the model again within a step, which MMEngine '
    'does not offer', OTHER)
OWN_BACKWARD = Treatment(
    'refused', 'it needs a backward pass of its own, or is built from the '
    'model', OTHER)
WRAPS = Treatment(
    'refused', 'it wraps another optimizer, whose groups stay as they were',
    'Name the inner optimizer in optim_wrapper.optimizer')
NO_LR = Treatment(
    'refused', "its groups have no number in 'lr' to be scaled",
    'Set optim_wrapper.optimizer.lr, if it takes one; else take SGD or AdamW')
RELATIVE = FACTORED._replace(why="relative_step=True ignores its group's lr")
UNKNOWN = _raw('AGVM does not know how it divides the gradient')

# By the package at the root of the class's module: treatment to class names.
TABLE: dict[str, dict[Treatment, str]] = {
    'torch': {
        GRADIENT: 'SGD',
        ADAM: 'Adam AdamW NAdam RAdam SparseAdam',
        RMSPROP: 'RMSprop',
        ADAGRAD: 'Adagrad',
        ADAMAX: 'Adamax',
        ADADELTA: 'Adadelta',
        MATRIX: 'Muon',
        OTHER_STEP: 'ASGD Rprop',
        FACTORED: 'Adafactor',
        CLOSURE: 'LBFGS',
        SHARDED: 'ZeroRedundancyOptimizer',
        WRAPS: 'PostLocalSGDOptimizer',
    },
    'pytorch_optimizer': {
        GRADIENT: 'AggMo PID PNM QHM SGDW SRMM',
        ADAM: 'AdEMAMix AdaPNM AdamC AdamS SimplifiedAdEMAMix Yogi',
        ADABELIEF: 'AdaBelief',
        ADAMAX: 'AdaMax',
        ADADELTA: 'AdaDelta',
        SIGN: 'EmoLynx FOCUS Lion SignSGD Tiger',
        NORMALISED: 'AdaGC AdaNorm Adai DASH FAdam LARS Lamb MARS '
                    'NovoGrad RACS ROSE SGDP SGDSaI StableAdamW StableSPAM '
                    'AdamP AdamWSN',
        CLIPPED: 'ADOPT AdaBound Grams SPAM SaRA',
        MATRIX: 'APOLLO AdaMuon Alice BCOS DeMo Fira GaLore Kron LoRARite '
                'Muon MuonClip NorMuon SOAP Shampoo',
        MIXED: 'AdaSmooth AdaTAM Adan Aida Ano DiffGrad DualAdam EXAdam '
               'EmoNavi FlashAdamW Gravity GrokFastAdamW Kate MSVAG PAdam '
               'QHAdam RAdam SWATS TAM VSGD',
        ONE_RATE: 'DAdaptAdaGrad DAdaptAdam DAdaptAdan DAdaptLion DAdaptSGD '
                  'Prodigy',
        OTHER_STEP: 'A2Grad ASGD AccSGD AdaGO AdaMod AdamG Amos ApolloDQN '
                    'FTRL Fromage LaProp MADGRAD Nero Ranger Ranger21 '
                    'SpectralSphere',
        COUPLED: 'AvaGrad',
        OBJECTS: 'AdaShift Conda SCION SCIONLight ScalableShampoo',
        FACTORED: 'AdaFactor Adalite CAME EmoFact SM3',
        SHARDED: 'DistributedMuon',
        MODES: 'SPlus ScheduleFreeAdamW ScheduleFreeRAdam ScheduleFreeSGD',
        CLOSURE: 'AliG BSAM FriendlySAM GSAM LookSAM SAM WSAM',
        OWN_BACKWARD: 'AdaHessian AdaLOMO AdamMini LOMO SophiaH',
        WRAPS: 'Lookahead Magma OrthoGrad PCGrad SafeFP16Optimizer '
               'ScheduleFreeWrapper TRAC',
    },
    'bitsandbytes': {
        GRADIENT: 'SGD SGD8bit SGD32bit',
        TWO_STATES: 'Adam Adam8bit Adam32bit PagedAdam PagedAdam8bit '
                    'PagedAdam32bit AdamW AdamW8bit AdamW32bit PagedAdamW '
                    'PagedAdamW8bit PagedAdamW32bit AdEMAMix AdEMAMix8bit '
                    'AdEMAMix32bit PagedAdEMAMix PagedAdEMAMix8bit '
                    'PagedAdEMAMix32bit',
        ONE_STATE: 'Adagrad Adagrad8bit Adagrad32bit RMSprop RMSprop8bit '
                   'RMSprop32bit',
        SIGN: 'Lion Lion8bit Lion32bit PagedLion PagedLion8bit PagedLion32bit',
        NORMALISED: 'LAMB LAMB8bit LAMB32bit LARS LARS8bit LARS32bit '
                    'PytorchLARS',
    },
    'apex': {
        GRADIENT: 'FusedSGD',
        ADAM: 'FusedAdam',
        ADAGRAD: 'FusedAdagrad',
        NORMALISED: 'FusedLAMB FusedNovoGrad',
    },
    'transformers': {
        ADAM: 'AdamW',
        FACTORED: 'Adafactor',
    },
    'dadaptation': {
        ONE_RATE: 'DAdaptAdaGrad DAdaptAdam DAdaptAdan DAdaptAdanIP '
                  'DAdaptAdamPreprint DAdaptLion DAdaptSGD',
    },
    'prodigyopt': {
        ONE_RATE: 'Prodigy',
    },
    'lion_pytorch': {
        SIGN: 'Lion',
    },
    'sophia_opt': {
        CLIPPED: 'SophiaG',
    },
    'Sophia': {
        CLIPPED: 'SophiaG',
    },
    'schedulefree': {
        MODES: 'AdamWScheduleFree AdamWScheduleFreePaper '
               'AdamWScheduleFreeReference RAdamScheduleFree '
               'SGDScheduleFree SGDScheduleFreeReference',
        CLOSURE: 'AdamWScheduleFreeClosure RAdamScheduleFreeClosure '
                 'SGDScheduleFreeClosure',
        WRAPS: 'ScheduleFreeWrapper ScheduleFreeWrapperReference',
    },
}

# Entered by their sources, and not stepped by any test: apex and two of
# bitsandbytes need a GPU, transformers has dropped its AdamW, and others do
# not step without more.
NOT_RUN = ('apex.*', 'Sophia.*', 'transformers.AdamW',
           'bitsandbytes.AdEMAMix32bit', 'bitsandbytes.PagedAdEMAMix32bit',
           'bitsandbytes.PytorchLARS', 'pytorch_optimizer.DeMo',
           'dadaptation.DAdaptAdanIP', 'dadaptation.DAdaptAdamPreprint')
