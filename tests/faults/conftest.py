from .counting import cuts


def pytest_terminal_summary(terminalreporter):
    """What docs/reliability.md tells of."""
    if not cuts:
        return
    terminalreporter.section('trainings that were cut')
    for kind, times in sorted(cuts.items()):
        terminalreporter.write_line(f'{times:4}  {kind}')
    terminalreporter.write_line(f'{sum(cuts.values()):4}  in all')
