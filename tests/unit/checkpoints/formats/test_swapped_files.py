"""Every format refuses the files of others, and its own with a key too few, too many, or with a wrong tensor."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seamline.checkpoints.formats import FORMATS, e4e, rosinality
from seamline.checkpoints.formats.pinned import shapes_of
from seamline.checkpoints.network_file import load_network, write_converted
from seamline.errors import InvalidInput, NotFound
from seamline.networks import E4eConfig, E4eEncoder, GeneratorConfig
from seamline.networks.registry import build
from tests.fakes.foreign import Persistent, as_pickle, persistent_generator

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "stylegan2-ada": ("generator", {"resolution": 16, "z_dim": 4, "w_dim": 8, "channel_base": 64, "channel_max": 8}),
    "stylegan2-rosinality": (
        "generator",
        {"resolution": 32, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8},
    ),
    "e4e": (
        "e4e",
        {
            "input_size": 64,
            "generator_resolution": 16,
            "w_dim": 8,
            "width": 16,
            "units": [1, 2, 1, 1],
            "style_width": 4,
            "own_average": True,
        },
    ),
    "bisenet": ("parsing", {"width": 8, "classes": 5, "version": 1}),
    "s3fd": ("s3fd", {"width": 2}),
    "fan4": ("fan4", {"stacks": 2, "width": 8}),
}
"""Of the formats whose sizes are told from the file."""
Tensors = dict[str, Tensor]


def drawn(name: str) -> Tensors:
    torch.manual_seed(0)
    kind, config = SMALL[name]
    tensors = {
        key: torch.rand(tensor.shape) if tensor.is_floating_point() else tensor
        for key, tensor in build(kind, config).state_dict().items()
    }
    filters = {key: value for key, value in build(kind, config).state_dict().items() if key.endswith("resample_filter")}
    return tensors | filters


def layout(name: str, ours: Tensors) -> Any:
    """The checkpoint that holds tensors of ours."""
    if name == "stylegan2-ada":
        return {"G_ema": ours}
    if name == "e4e":
        average = ours["latent_avg"]
        state = {f"encoder.{key}": value for key, value in ours.items() if key != "latent_avg"}
        return {"state_dict": state, "latent_avg": average, "opts": {"device": "cuda:0"}}
    if name == "stylegan2-rosinality":
        config = GeneratorConfig(**SMALL[name][1])
        keys = rosinality.names(config)
        state = {key: ours[ours_].reshape(rosinality._shape(key, ours[ours_].shape)) for ours_, key in keys.items()}
        kernels = {key: torch.ones(4, 4) for key in rosinality.filters(config)}
        return {"g_ema": state | kernels, "latent_avg": ours["mapping.w_avg"], "ckpt": {}}
    return ours


def state_of(name: str, checkpoint: Any) -> Tensors:
    key = {"stylegan2-ada": "G_ema", "e4e": "state_dict", "stylegan2-rosinality": "g_ema"}.get(name)
    return checkpoint[key] if key else checkpoint


def converted(name: str, checkpoint: Any, folder: Path) -> Mapping[str, Tensor]:
    torch.save(checkpoint, folder / "checkpoint.pt")
    return FORMATS[name]([folder / "checkpoint.pt"]).tensors


@pytest.mark.parametrize("name", SMALL)
def test_the_sizes_are_told_from_the_file(name: str, tmp_path: Path) -> None:
    kind, config = SMALL[name]
    ours = drawn(name)
    torch.save(layout(name, ours), tmp_path / "checkpoint.pt")
    made = FORMATS[name]([tmp_path / "checkpoint.pt"])
    assert (made.kind, made.source) == (kind, "checkpoint.pt")
    assert build(made.kind, made.config).config == build(kind, config).config  # type: ignore[attr-defined]
    assert made.tensors.keys() == ours.keys()
    assert all(torch.equal(made.tensors[key], ours[key]) for key in ours)
    write_converted(tmp_path / "out.safetensors", made)
    assert load_network(tmp_path / "out.safetensors").state_dict().keys() == ours.keys()


def broken_one(name: str, change: Callable[[Tensors, str], Any], folder: Path) -> str:
    """The error that a change of one learned tensor of a checkpoint leads to."""
    checkpoint = layout(name, drawn(name))
    state = state_of(name, checkpoint)
    learned = [key for key in state if key.endswith("weight")]
    key = learned[len(learned) // 2]  # neither the first nor the last, which sizes are told from
    change(state, key)
    with pytest.raises(InvalidInput) as caught:
        converted(name, checkpoint, folder)
    message = str(caught.value)
    assert str(folder / "checkpoint.pt") in message
    assert "get the file again" in message
    assert key in message or "more.weight" in message
    return message


@pytest.mark.parametrize("name", SMALL)
def test_a_key_too_few_or_too_many(name: str, tmp_path: Path) -> None:
    assert "missing" in broken_one(name, lambda state, key: state.pop(key), tmp_path)
    extra = broken_one(name, lambda state, key: state.update({"more.weight": torch.ones(1)}), tmp_path)
    assert "key more.weight is unknown (1 such)" in extra


@pytest.mark.parametrize("name", SMALL)
def test_a_wrong_tensor(name: str, tmp_path: Path) -> None:
    shape = broken_one(name, lambda state, key: state.update({key: torch.cat([state[key]] * 2)}), tmp_path)
    assert "shape" in shape
    assert "wanted" in shape
    for value in (float("nan"), float("inf")):
        numbers = broken_one(name, lambda state, key, v=value: state[key].view(-1)[-1:].fill_(v), tmp_path)
        assert "holds NaN or infinity" in numbers
    other = broken_one(name, lambda state, key: state.update({key: [1.0]}), tmp_path)
    assert "a list, " in other


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (asked, given)
        for asked in (*SMALL, "ir-se50", "lpips-alex", "hyperstyle", "clip", "latent-transformer")
        for given in SMALL
        if given != asked
    ],
)
def test_files_that_were_swapped(asked: str, given: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(layout(given, drawn(given)), path)
    with pytest.raises(InvalidInput, match=str(path)) as caught:
        FORMATS[asked]([path] * (len(FORMATS[asked].inputs) - FORMATS[asked].optional_inputs))
    assert len(str(caught.value)) < 600


def test_identity_and_parsing_networks_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "79999_iter.pth"
    torch.save(layout("bisenet", drawn("bisenet")), path)
    with pytest.raises(InvalidInput, match=rf"{path}: key \S+ is missing; get the file again.*its own file"):
        FORMATS["ir-se50"]([path])


class TestStylegan2:
    def write(self, folder: Path, value: Any) -> Path:
        path = folder / "ffhq.pkl"
        path.write_bytes(as_pickle(value))
        return path

    def test_a_pickled_generator_keeps_its_mapping_gain(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, {"G_ema": persistent_generator(drawn("stylegan2-ada"), lr_multiplier=0.1)})
        assert FORMATS["stylegan2-ada"]([path]).config["mapping_lr_multiplier"] == 0.1

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ({"G": None}, "key G_ema is missing, the file has G"),
            ({"G_ema": None}, "G_ema is no table of names"),
            ([1], "the file is no table of names"),
            ({"G_ema": Persistent("Discriminator", {})}, r"G_ema is a torch_utils\.persistence\.Discriminator"),
            ({"G_ema": Persistent("Generator", {})}, r"key mapping\.fc0\.weight is missing"),
        ],
    )
    def test_pickles_of_something_else(self, value: Any, reason: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, value)
        with pytest.raises(InvalidInput, match=reason) as caught:
            FORMATS["stylegan2-ada"]([path])
        assert str(path) in str(caught.value)

    def test_sizes_that_no_generator_has(self, tmp_path: Path) -> None:
        ours = drawn("stylegan2-ada") | {"synthesis.b9999.conv1.bias": torch.ones(8)}
        with pytest.raises(InvalidInput, match="no generator network has its sizes"):
            converted("stylegan2-ada", {"G_ema": ours}, tmp_path)


class TestE4e:
    def test_codes_are_added_to_its_own_average(self, tmp_path: Path) -> None:
        ours = drawn("e4e")
        one_for_all = layout("e4e", ours) | {"latent_avg": torch.arange(8.0)}
        found = converted("e4e", one_for_all, tmp_path)["latent_avg"]
        assert torch.equal(found, torch.arange(8.0).expand(6, 8))

    @pytest.mark.parametrize("average", [None, torch.zeros(5, 8), torch.full((6, 8), float("nan"))])
    def test_an_average_that_is_none(self, average: Any, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="latent_avg"):
            converted("e4e", layout("e4e", drawn("e4e")) | {"latent_avg": average}, tmp_path)

    def test_the_generator_in_it_may_stay(self, tmp_path: Path) -> None:
        checkpoint = layout("e4e", drawn("e4e"))
        checkpoint["state_dict"] |= {"decoder.convs.3.conv.modulation.bias": torch.ones(4)}
        assert "latent_avg" in converted("e4e", checkpoint, tmp_path)
        checkpoint["state_dict"] |= {"decoder.unheard": torch.ones(4)}
        with pytest.raises(InvalidInput, match=r"decoder\.unheard is unknown"):
            converted("e4e", checkpoint, tmp_path)

    def test_the_public_generator_has_all_the_keys_that_are_known(self) -> None:
        keys = e4e._decoder_keys()
        assert {"decoder.style.8.weight", "decoder.convs.15.conv.weight", "decoder.noises.noise_16"} <= keys
        assert {"decoder.convs.14.conv.blur.kernel", "decoder.to_rgbs.7.upsample.kernel"} <= keys
        assert not any(".convs.15.conv.blur" in key or "to_rgbs.8" in key for key in keys)

    def test_an_encoder_without_its_own_average_has_no_such_tensor(self) -> None:
        assert "latent_avg" not in shapes_of("e4e", {})
        with torch.device("meta"):
            assert E4eEncoder(E4eConfig(own_average=True)).get_buffer("latent_avg").shape == (18, 512)


class TestLpips:
    @pytest.fixture
    def whole(self) -> Tensors:
        torch.manual_seed(0)
        return dict(build("perceptual", {}).state_dict())

    def test_weights_that_differ_between_their_two_names(self, whole: Tensors, tmp_path: Path) -> None:
        whole["lins.3.model.1.weight"] = whole["lins.3.model.1.weight"] + 1
        with pytest.raises(InvalidInput, match=r"lins\.3\.model\.1\.weight differs from lin3"):
            converted("lpips-alex", whole, tmp_path)

    def test_weights_under_one_name(self, whole: Tensors, tmp_path: Path) -> None:
        once = {key: value for key, value in whole.items() if not key.startswith("lins.")}
        assert converted("lpips-alex", once, tmp_path).keys() == whole.keys()

    def test_alexnet_alone(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"is AlexNet alone; give lpips' alex\.pth"):
            converted("lpips-alex", {"features.0.weight": torch.ones(1)}, tmp_path)

    def test_files_in_the_wrong_order(self, whole: Tensors, tmp_path: Path) -> None:
        paths = [tmp_path / "alex.pth", tmp_path / "alexnet.pth"]
        torch.save({key: value for key, value in whole.items() if key.startswith("lin")}, paths[0])
        torch.save({"features.0.weight": torch.ones(1)}, paths[1])
        with pytest.raises(InvalidInput, match=r"alex\.pth: key features\.0\.weight is missing"):
            FORMATS["lpips-alex"](paths)


def test_the_number_of_files_is_checked(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"ir-se50 is converted from model_ir_se50\.pth; got 2 files"):
        FORMATS["ir-se50"]([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(InvalidInput, match="got 0 files"):
        FORMATS["lpips-alex"]([])
    with pytest.raises(NotFound, match=str(tmp_path / "a")):
        FORMATS["ir-se50"]([tmp_path / "a"])
