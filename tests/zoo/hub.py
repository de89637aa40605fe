"""In place of the model hub of transformers, which no test downloads from."""
from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

# Models whose settings are the defaults of their class in transformers.
KINDS = {
    'bert-base-uncased': 'bert',
    'microsoft/beit-base-patch16-224-pt22k-ft22k': 'beit',
}
TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '.', '?', ',', 'a']


def write_hub(folder: Path) -> None:
    """Write the settings and made-up words of :data:`KINDS`, no weights."""
    for name, kind in KINDS.items():
        model = folder / name
        model.mkdir(parents=True)
        (model / 'config.json').write_text(json.dumps(dict(model_type=kind)))
        words = TOKENS + [f'word{i}' for i in range(len(TOKENS), 30522)]
        (model / 'vocab.txt').write_text('\n'.join(words))


def use_hub(folder: Path) -> None:
    """From here on transformers finds its models in a folder, untrained.

    Args:
        folder (Path): From :func:`write_hub`. What is not there is looked for
            where it always is.
    """
    os.environ['HF_HUB_OFFLINE'] = '1'  # Read when it is imported.
    try:
        import transformers
    except ImportError:
        return
    transformers.logging.set_verbosity_error()
    for owner, name in [
        (transformers.PretrainedConfig, 'get_config_dict'),
        (transformers.PreTrainedTokenizerBase, 'from_pretrained'),
        (transformers.AutoTokenizer, 'from_pretrained'),
    ]:
        function = getattr(owner, name).__func__

        def local(cls: type,
                  pretrained_model_name_or_path: str,
                  *args: Any,
                  function: Any = function,
                  **kwargs: Any) -> Any:
            name = str(pretrained_model_name_or_path)
            path = folder / name
            return function(cls,
                            str(path) if path.is_dir() else name, *args,
                            **kwargs)

        mock.patch.object(owner, name, classmethod(local)).start()
    mock.patch.object(transformers.PreTrainedModel, 'from_pretrained',
                      classmethod(_untrained)).start()


def _untrained(cls: type,
               name: str,
               *args: Any,
               config: Any = None,
               **kwargs: Any) -> Any:
    config = config or cls.config_class.from_pretrained(name)
    known = inspect.signature(cls).parameters
    kwargs = {key: value for key, value in kwargs.items() if key in known}
    return cls(config, *args, **kwargs)
