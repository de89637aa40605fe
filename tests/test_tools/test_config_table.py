import config_table


def test_the_table_of_configs_is_up_to_date():
    config_table.main(['--check'])
