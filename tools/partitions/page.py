"""The page of the docs that lists the modules of well-known models."""
from __future__ import annotations

from command_line.configs import load_config

from agvm_mm import partition_parameters

from .models import build_on_meta

HEAD = """\
<!-- Written by tools/show_partition.py --table; do not edit. -->
# Modules

AGVM gives one learning-rate factor to each *module* of a model. A module is a
part that papers draw as a box: the backbone, the neck (FPN), the RPN, each
head. Every parameter belongs to exactly one. By default they are found so:

1. **A child of the model is a module**, named as the child. `roi_head` is
   opened one level: `roi_head.bbox_head`, `roi_head.mask_head`. A detector
   inside of the model (a tracker's `detector`, a `student`) is divided in the
   same way: `detector.backbone`. So is an image encoder that is a list of
   parts: `image_encoder.0`. The anchor `backbone` is found in all of these,
   and under a sensor's name: `pts_backbone`. Where there are two, set
   `agvm.anchor`.
2. **A head that holds a neck of its own is two modules.** In MaskFormer and
   Mask2Former these are the `pixel_decoder`, and the `transformer_decoder`
   with all the rest of the head. In UPerHead they are the pyramid, named
   `fpn`, and the classifier, which keeps the name `decode_head`.
3. **A loose part joins the module that it feeds.** The gradient of one small
   tensor is too noisy: a factor from its variance would mean nothing. Loose
   are a parameter that hangs directly on the model (DINO's `level_embed`); a
   part that is nothing but embeddings or bare parameters (DETR's
   `query_embedding`, the proposals of Sparse R-CNN); and, beside the decoder
   of a transformer, a single layer (`memory_trans_norm`). They join the
   `decoder`; where there is none, the `bbox_head`; where there is none either,
   the `mask_head`, the `decode_head`, another head or the neck.

The rule looks at the kind of a part, not at its size: a small head remains a
module. It does not look at what is frozen either: freezing a part moves no
parameter to another module. Frozen parameters are not stepped, nor measured.

```bash
python tools/show_partition.py CONFIG   # of yours, or a name from the tables
```

To divide a model in another way, name the modules yourself. The longest prefix
of a parameter's name wins, and what no prefix fits stays where it was:

```python
optim_wrapper = dict(
    agvm=dict(
        modules=dict(
            heads=['rpn_head', 'roi_head'],  # all heads are one module
            stem='backbone.conv1')))         # apart from the backbone
```

The tables give the parameters of each module, frozen ones included.
"""

MODELS_SHOWN = {
    'Detectors of MMDetection': {
        'Faster R-CNN':
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        'Mask R-CNN':
        'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        'Cascade Mask R-CNN':
        'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
        'HTC':
        'mmdet::htc/htc_r50_fpn_1x_coco.py',
        'Panoptic FPN':
        'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
        'Sparse R-CNN':
        'mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
        'RetinaNet':
        'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
        'FCOS':
        'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
        'ATSS':
        'mmdet::atss/atss_r50_fpn_1x_coco.py',
        'CenterNet':
        'mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco.py',
        'YOLOX':
        'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
        'RTMDet':
        'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py',
        'SOLOv2':
        'mmdet::solov2/solov2_r50_fpn_1x_coco.py',
        'DETR':
        'mmdet::detr/detr_r50_8xb2-150e_coco.py',
        'Deformable DETR':
        'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
        'DAB-DETR':
        'mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py',
        'DINO':
        'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
        'MaskFormer':
        'mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py',
        'Mask2Former':
        'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
        'QDTrack':
        'mmdet::qdtrack/qdtrack_faster-rcnn_r50_fpn_4e_base.py',
        'Soft Teacher':
        'mmdet::soft_teacher/'
        'soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py',
    },
    'Segmentors of MMSegmentation': {
        'PSPNet':
        'mmseg::pspnet/pspnet_r50-d8_4xb4-160k_ade20k-512x512.py',
        'DeepLabV3+':
        'mmseg::deeplabv3plus/'
        'deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py',
        'Semantic FPN':
        'mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py',
        'UperNet, ResNet-50':
        'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py',
        'UperNet, Swin-T':
        'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_'
        'ade20k-512x512.py',
        'K-Net, UperNet':
        'mmseg::knet/knet-s3_r50-d8_upernet_8xb2-adamw-80k_'
        'ade20k-512x512.py',
        'SegFormer':
        'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
        'SETR':
        'mmseg::setr/setr_vit-l_pup_8xb2-160k_ade20k-512x512.py',
        'Segmenter':
        'mmseg::segmenter/segmenter_vit-b_mask_8xb1-160k_ade20k-512x512.py',
        'MaskFormer':
        'mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py',
        'Mask2Former':
        'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
    },
}


def build_page() -> str:
    """The page's text."""
    lines = [HEAD]
    for title, models in MODELS_SHOWN.items():
        lines += [f'## {title}\n', '| model | modules and their parameters |']
        lines.append('|---|---|')
        for model, config in models.items():
            lines.append(f'| {model}<br>`{config}` | {_modules(config)} |')
        lines.append('')
    return '\n'.join(lines)


def _modules(config: str) -> str:
    model = build_on_meta(load_config(config))
    # What a config freezes has its modules too.
    model.requires_grad_(requires_grad=True)
    partition = partition_parameters(model)
    parameters = dict(model.named_parameters())
    return '<br>'.join(
        f'`{module}` {sum(parameters[name].numel() for name in names):,}'
        for module, names in partition.items())
