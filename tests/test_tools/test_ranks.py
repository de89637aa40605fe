"""Whether ranks can find each other, by their launcher's variables."""
import pytest
from command_line.ranks import check_master


def test_mpirun_that_names_no_first_machine(monkeypatch):
    for name in ('OMPI_COMM_WORLD_SIZE', 'MASTER_ADDR'):
        monkeypatch.delenv(name, raising=False)
    check_master('mpi')  # Without mpirun: refused with the total batch.
    monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '2')
    check_master('slurm')
    with pytest.raises(ValueError, match=r'expects MASTER_ADDR .* mpirun -x'):
        check_master('mpi')
    monkeypatch.setenv('MASTER_ADDR', '10.0.0.1')
    check_master('mpi')
