"""Pre-train a Digits backbone as a classifier: the part of ImageNet weights.

It classifies the digits of a data set's training images, each cut out with
what is around it; nothing of the other splits is seen. The checkpoint holds
the backbone alone::

    model.backbone.init_cfg = dict(
        type='Pretrained', checkpoint=OUT, prefix='backbone.')
"""
from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Sequence

import cv2
import torch
import torch.nn.functional as F
from command_line.configs import load_config
from command_line.refusals import one_line
from mmengine.registry import MODELS, init_default_scope
from rich.progress import track
from torch import Tensor, nn

CROP = 32  # height and width of what is classified, in pixels
MARGIN = 0.15  # of a box's longer side, on each side of the crop


def read_crops(data_root: Path, split: str) -> tuple[Tensor, Tensor]:
    """Cut the digits out of a split's images.

    Args:
        data_root (Path): Of a Digits data set.
        split (str): 'train', 'val' or 'test'.

    Returns:
        tuple[Tensor, Tensor]: Crops, float, N x 3 x 32 x 32, RGB, of mean 0
        and deviation 1 as ImageNet is normalised; and labels, 0 to 9.

    Raises:
        FileNotFoundError: If there is no such data set.
        ValueError: If it names a file outside of its folder.
    """
    path = data_root / f'annotations/instances_{split}.json'
    if not path.is_file():
        tool = os.path.relpath(Path(__file__).with_name('make_digits.py'))
        raise FileNotFoundError(f'{path} does not exist; make the data with: '
                                f'python {tool} {data_root}')
    labels = json.loads(path.read_text())
    names = {image['id']: image['file_name'] for image in labels['images']}
    folder = (data_root / split).resolve()
    for name in names.values():
        if folder not in (folder / name).resolve().parents:
            raise ValueError(f'{path} names {name!r}, which lies outside of '
                             f'{folder}: make the data anew')
    images = {
        id_: cv2.imread(str(folder / name))
        for id_, name in names.items()
    }
    crops, digits = [], []
    for annotation in labels['annotations']:
        image = images[annotation['image_id']]
        x, y, w, h = annotation['bbox']
        half = (0.5 + MARGIN) * max(w, h)
        top, bottom, left, right = (
            round(min(max(edge, 0), image.shape[0]))
            for edge in (y + h / 2 - half, y + h / 2 + half, x + w / 2 - half,
                         x + w / 2 + half))
        crops.append(cv2.resize(image[top:bottom, left:right], (CROP, CROP)))
        digits.append(annotation['category_id'] - 1)
    pixels = torch.stack(
        [torch.from_numpy(c[..., ::-1].copy()) for c in crops])
    pixels = pixels.permute(0, 3, 1, 2).float()
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    return (pixels - mean) / std, torch.tensor(digits)


def accuracy(backbone: nn.Module, head: nn.Module, crops: Tensor,
             digits: Tensor) -> float:
    """The share of crops that are classified rightly."""
    backbone.eval()
    with torch.no_grad():
        right = sum(
            int((classify(backbone, head, x).argmax(1) == y).sum())
            for x, y in zip(crops.split(256), digits.split(256)))
    backbone.train()
    return right / len(digits)


def classify(backbone: nn.Module, head: nn.Module, crops: Tensor) -> Tensor:
    """Logits, from the mean of the backbone's last level."""
    return head(backbone(crops)[-1].mean((2, 3)))


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, train, and write the checkpoint.

    Args:
        argv (Sequence[str], optional): Instead of the command line.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('config', help='Digits config with the backbone')
    parser.add_argument('out', type=Path, help='checkpoint to write')
    parser.add_argument('--data-root', type=Path, default=Path('data/digits'))
    parser.add_argument('--epochs', type=int, default=10)
    parser.add_argument('--lr', type=float, default=2e-3, help='of AdamW')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    with one_line('pretrain_digits.py'):
        cfg = load_config(args.config)
        crops, digits = read_crops(args.data_root, 'train')
        unseen = read_crops(args.data_root, 'val')
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.init_cfg = None
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    backbone.train()  # mmdet's return nothing here
    width = backbone(crops[:2])[-1].shape[1]
    head = nn.Linear(width, 10)
    parameters = [*backbone.parameters(), *head.parameters()]
    batches = len(digits) // 64
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=args.epochs * batches)
    for _ in track(range(args.epochs), description='pre-training'):
        for chosen in torch.randperm(len(digits))[:batches * 64].split(64):
            logits = classify(backbone, head, crops[chosen])
            optimizer.zero_grad()
            F.cross_entropy(logits, digits[chosen]).backward()
            optimizer.step()
            schedule.step()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    # Named as in a whole detector: mmdet's Swin looks for nothing else.
    weights = {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    partial = args.out.with_name(f'.{args.out.name}')
    torch.save(dict(state_dict=weights), partial)
    partial.replace(args.out)  # Whole, or not there.
    print(f'{accuracy(backbone, head, crops, digits):.1%} of the training '
          f'digits and {accuracy(backbone, head, *unseen):.1%} of unseen ones '
          f'are told; wrote {args.out}')


if __name__ == '__main__':
    main()
