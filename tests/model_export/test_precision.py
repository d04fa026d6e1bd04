"""Precisions, and the families of models that they are written for."""

from pathlib import Path
from typing import get_args

import pytest

from configuration.groups import ModelSettings
from model_export import artifact as artifacts
from model_export.errors import ExportError
from model_export.precision import PRECISIONS, find_precision
from tests.model_export.conftest import SMALL


def test_the_configuration_knows_the_same_precisions():
    assert set(get_args(ModelSettings.model_fields["precision"].annotation)) == set(PRECISIONS)
    assert all(find_precision(name).name == name for name in PRECISIONS)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ExportError, match="precision: 'int4' is not allowed: it must be one of fast, balanced, exact"):
        find_precision("int4")


@pytest.fixture(scope="module")
def save_small(minilm, tmp_path_factory):
    """A function that saves a small model of a class of transformers, all weights random, with MiniLM's tokenizer: its folder."""
    import torch
    from transformers import AutoTokenizer, PretrainedConfig, PreTrainedModel

    tokenizer = AutoTokenizer.from_pretrained(minilm)

    def save(model_class: type[PreTrainedModel], config_class: type[PretrainedConfig]) -> Path:
        torch.manual_seed(0)
        config = config_class(vocab_size=len(tokenizer), max_position_embeddings=130, pad_token_id=1, **SMALL)
        model = model_class(config)
        with torch.no_grad():
            for parameter in model.parameters():
                # transformers starts biases at zero, and Optimum leaves out additions of zero.
                parameter.add_(0.02 * torch.randn_like(parameter))
            if config.model_type == "mpnet":
                model.encoder.relative_attention_bias.weight.mul_(100)
        folder = tmp_path_factory.mktemp(config.model_type)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [("Bert", "fast"), ("Roberta", "balanced"), ("XLMRoberta", "exact"), ("MPNet", "balanced"), ("MPNet", "exact")],
)
def test_families(save_small, tmp_path, capfd, name, precision):
    """The build itself compares the artifact with the original, on texts as long as the model reads too."""
    import transformers

    checkpoint = save_small(getattr(transformers, f"{name}Model"), getattr(transformers, f"{name}Config"))
    capfd.readouterr()
    artifacts.build(ModelSettings(model=str(checkpoint), precision=precision), tmp_path)
    said = capfd.readouterr().err
    assert ("keeping the exported graph" in said) is (name == "MPNet")
    assert "onnxruntime:" not in said, "onnxruntime warns or complains in a run that succeeds"
