from mmengine.logging import MessageHub

from agvm_mm.compat.message_hub import keep_config_on_resume


def hub_of(name, **info):
    hub = MessageHub(name)
    hub.update_info_dict(info)
    return hub


def test_all_but_the_config_is_loaded():
    saved = hub_of('before', cfg='theirs', iter=7)
    saved.update_scalar('train/loss', 2.0)
    hub = hub_of('after', cfg='ours', iter=0)
    for _ in range(2):
        keep_config_on_resume(hub)
    hub.load_state_dict(saved.state_dict())
    assert (hub.get_info('cfg'), hub.get_info('iter')) == ('ours', 7)
    assert hub.get_scalar('train/loss').current() == 2
    # Others are not touched, and one without a config takes what there is.
    for hub in (hub_of('other', cfg='ours'), hub_of('empty')):
        if hub.instance_name == 'empty':
            keep_config_on_resume(hub)
        hub.load_state_dict(saved.state_dict())
        assert hub.get_info('cfg') == 'theirs'
