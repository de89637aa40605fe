"""MMEngine's checkpoint hook, without the moments in which a kill loses all.

MMEngine's own removes an old checkpoint before it writes the next, writes it
under its final name, and empties ``last_checkpoint`` before it fills it anew.
"""
from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .files import drop, drop_begun
from .history import bound_history
from .log_writing import outlive_lost_lines
from .publishing import publish
from .resumable import warn_if_unreadable
from .resuming import settle_resume
from .saving import NotSavedError, name_latest, save_whole, saves_files


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, whose checkpoints cannot be lost.

    A checkpoint is written beside its place, read back, sealed with a digest,
    flushed to disk and renamed; only then an older one is removed. Where it
    cannot be written, as on a full disk, one line tells so, the training goes
    on, and what was there stays. With ``resume=True`` the run goes on from the
    newest whole one. The history of logged values in it is bounded.

    So is a folder of shards, which ``AGVMFSDPStrategy`` writes. Checkpoints in
    another storage than a file system, and other folders (DeepSpeed), are
    saved as by MMEngine.

    Args:
        **kwargs: For ``CheckpointHook``.
    """

    _saves_files = False
    _tried = False
    _lost: tuple[int, dict] | None = None  # step and meta, not saved

    def before_run(self, runner: Runner) -> None:
        """Choose what to go on from, which MMEngine's ``Runner`` then loads.

        Args:
            runner (Runner or FlexibleRunner): The run.

        Raises:
            ValueError: If there were checkpoints and none is whole, or if a
                rank does not see the newest.
        """
        settle_resume(runner)

    def before_train(self, runner: Runner) -> None:
        """Find out where to save, and clear what was begun there.

        Args:
            runner (Runner or FlexibleRunner): The run.
        """
        super().before_train(runner)
        self._saves_files = saves_files(runner, self.file_backend)
        if self._saves_files:
            self._take_over_bests(runner)
        if self._saves_files and is_main_process():
            drop_begun(self.out_dir)
            drop_begun(runner.work_dir)
        bound_history(runner)
        outlive_lost_lines(runner)

    def after_train(self, runner: Runner) -> None:
        """Publish, once a last checkpoint that was not saved is tried again.

        Args:
            runner (Runner or FlexibleRunner): The run.
        """
        if self._ends_unsaved(runner):
            self._save_checkpoint_with_step(runner, *self._lost)
        if self._ends_unsaved(runner) and is_main_process():
            runner.logger.error(
                'What the training ended with could not be saved in '
                f'{self.out_dir}: make room there, and --resume trains again '
                'what came after the checkpoint before it')
        if self._saves_files and self.last_ckpt is None and runner._resume:
            # It was cut after its last checkpoint.
            self.last_ckpt = self._here(
                runner.message_hub.get_info('last_ckpt'))
        super().after_train(runner)

    def _ends_unsaved(self, runner: Runner) -> bool:
        return self._lost is not None and self._lost[1]['iter'] == runner.iter

    def _here(self, path: str | None) -> str | None:
        """A checkpoint of this run's own folder, if it is there."""
        own = path and os.path.join(self.out_dir, os.path.basename(path))
        return own if own and os.path.exists(own) else None

    def _take_over_bests(self, runner: Runner) -> None:
        """Look for the best checkpoints in this run's own folder.

        A checkpoint tells where they were. A work dir may have been moved, or
        copied, or the checkpoint is of another run, which keeps its own.

        Args:
            runner (Runner or FlexibleRunner): The run.
        """
        hub = runner.message_hub
        for key in self.key_indicators if self.save_best else ():
            only = len(self.key_indicators) == 1
            name = 'best_ckpt' if only else f'best_ckpt_{key}'
            best = self._here(hub.pop_info(name))
            if best is not None:
                hub.update_info(name, best)
            if only:
                self.best_ckpt_path = best
            else:
                self.best_ckpt_path_dict[key] = best

    def _save_checkpoint_with_step(self, runner: Runner, step: int,
                                   meta: dict) -> None:
        bound_history(runner)
        if not self._saves_files:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        name = self.filename_tmpl.format(step)
        path = os.path.join(self.out_dir, name)
        if self.last_ckpt != path:  # or it is there, without a new best
            self._lost = step, dict(meta)
        kept = list(getattr(self, 'keep_ckpt_ids', ()))
        steps = [s for s in kept if s != step] + [step]
        # The checkpoint itself tells what is there once it is.
        info = dict(last_ckpt=path)
        if self.max_keep_ckpts > 0:
            info['keep_ckpt_ids'] = steps[-self.max_keep_ckpts:]
        saved = self._save(
            runner,
            name,
            info,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            **self.args)
        if not saved:
            return
        self._lost = None
        self.last_ckpt = path
        if is_main_process():
            name_latest(runner, path)
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(info['keep_ckpt_ids'])
            for old in steps[:-self.max_keep_ckpts]:
                self._remove(os.path.join(self.out_dir,
                                          self.filename_tmpl.format(old)))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self._saves_files or not self.save_best:
            super()._save_best_checkpoint(runner, metrics)
            return
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        when = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        known = runner.message_hub.runtime_info
        saved = False
        for key, rule in zip(self.key_indicators, self.rules):
            only = len(self.key_indicators) == 1
            best, score = [
                name if only else f'{name}_{key}'
                for name in ('best_ckpt', 'best_score')
            ]
            if metrics[key] is None or not self.is_better_than[key](
                    metrics[key], known.get(score, self.init_value_map[rule])):
                continue
            name = f'best_{key}_{self.filename_tmpl.format(when)}'.replace(
                '/', '_')
            path, old = os.path.join(self.out_dir, name), known.get(best)
            if not self._save(
                    runner,
                    name, {
                        best: path,
                        score: metrics[key]
                    },
                    save_optimizer=False,
                    save_param_scheduler=False,
                    meta=dict(meta),
                    by_epoch=False):
                continue
            saved = True
            runner.logger.info(f'The best checkpoint with {metrics[key]:0.4f} '
                               f'{key} is saved to {name}.')
            if only:
                self.best_ckpt_path = path
            else:
                self.best_ckpt_path_dict[key] = path
            if old and old != path:
                self._remove(old)
        # As MMEngine does, so that a resumed run knows the best.
        if saved and self.last_ckpt is not None:
            self._save_checkpoint_with_step(runner, when, meta)

    @master_only
    def _publish_model(self, runner: Runner, ckpt_path: str | None) -> None:
        if ckpt_path is None:
            return  # One of several bests, that is not there.
        if not self._saves_files:
            super()._publish_model(runner, ckpt_path)
            return
        publish(Path(ckpt_path), self.published_keys, runner.logger)

    def _save(self, runner: Runner, name: str, info: dict[str, Any],
              **settings: Any) -> bool:
        """Save; where that fails, tell so and leave all as it was.

        Args:
            runner (Runner or FlexibleRunner): The run.
            name (str): Of the file.
            info (dict[str, Any]): What the message hub is to hold.
            **settings: For ``runner.save_checkpoint``.
        """
        known = runner.message_hub.runtime_info
        before = {key: known[key] for key in info if key in known}
        for key, value in info.items():
            runner.message_hub.update_info(key, value)
        try:
            save_whole(runner, self.out_dir, name, **settings)
        except NotSavedError as error:
            for key in info:
                runner.message_hub.pop_info(key)
            runner.message_hub.update_info_dict(before)
            runner.logger.warning(
                f'{name} could not be saved ({error}): the training goes on, '
                f'and what is in {self.out_dir} is as it was. The next '
                'checkpoint is tried again')
            return False
        if is_main_process() and not self._tried:
            self._tried = True
            warn_if_unreadable(
                os.path.join(self.out_dir, name), runner.logger)
        return True

    @master_only
    def _remove(self, path: str) -> None:
        drop(path)
