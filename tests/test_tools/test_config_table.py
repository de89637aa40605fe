from tests.commands import run


def test_the_table_of_configs_is_up_to_date():
    run('python', 'tools/config_table.py', '--check')
