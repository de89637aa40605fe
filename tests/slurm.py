"""Stands in for Slurm, whose daemons a test cannot start.

Only the scheduler is missing: ``srun`` starts each task as a real process
with the variables that Slurm gives it, ``sbatch`` runs a job script with
those of its ``#SBATCH`` lines, at once, and ``scontrol`` names the host.
"""
from __future__ import annotations

from pathlib import Path

SLURM = """\
#!/usr/bin/env python
import os, subprocess, sys
name, *given = [os.path.basename(sys.argv[0]), *sys.argv[1:]]

def options(words):
    return dict(w[2:].split('=', 1) for w in words if w.startswith('--')
                and '=' in w)

def scontrol():
    print('127.0.0.1')

def sbatch():
    first = next(i for i, w in enumerate(given) if not w.startswith('--'))
    lines = open(given[first]).read().splitlines()
    set_ = options([l.split()[1] for l in lines if l.startswith('#SBATCH --')])
    set_.update(options(given[:first]))
    per_node = int(set_['ntasks-per-node'])
    tasks = str(per_node * int(set_['nodes']))
    return subprocess.call(['bash', *given[first:]], env=dict(
        os.environ, SLURM_JOB_ID='7', SLURM_JOB_NAME=set_['job-name'],
        SLURM_JOB_PARTITION=set_['partition'], SLURM_NNODES=set_['nodes'],
        SLURM_NTASKS=tasks, SLURM_NTASKS_PER_NODE=str(per_node),
        SLURM_CPUS_PER_TASK=set_['cpus-per-task']))

def srun():
    first = given.index('python')
    print('srun', *given[:first], flush=True)
    set_ = options(given[:first])
    count, per_node = set_['ntasks'], int(set_['ntasks-per-node'])
    tasks = [subprocess.Popen(given[first:], env=dict(
        os.environ, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank % per_node),
        SLURM_NTASKS=count, SLURM_STEP_NUM_TASKS=count, SLURM_NODELIST='node',
        SLURM_STEP_NODELIST='node')) for rank in range(int(count))]
    return max(task.wait() for task in tasks)

sys.exit(globals()[name]())
"""


def stand_in(folder: Path) -> Path:
    """A folder with these commands, for the front of a PATH.

    Args:
        folder (Path): It is made.
    """
    folder.mkdir()
    for name in ('sbatch', 'scontrol', 'srun'):
        (folder / name).write_text(SLURM)
        (folder / name).chmod(0o755)
    return folder
