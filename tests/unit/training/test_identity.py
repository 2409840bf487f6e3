import numpy as np
import torch

from seamline.networks.arcface import ArcFace, ArcFaceConfig
from tests.fakes.portraits import write_portraits
from training.data import Portraits
from training.identity import (
    CONFIG,
    IdentityBatches,
    People,
    Recogniser,
    _unnormalised,
    discriminant,
    discriminate,
    face_crop,
    loss,
)


def people(root):
    return People.of(Portraits.all(write_portraits(root, shards=2, count=40, per_person=2)))


def test_portraits_are_grouped_by_identity_parameters(tmp_path):
    found = people(tmp_path)
    assert found.person.max() + 1 == 40
    assert (np.bincount(found.person) == 2).all()
    assert (found.person == np.repeat(np.arange(40), 2)).all()


def test_held_out_people_are_not_trained_on(tmp_path):
    training, held_out = people(tmp_path).split()
    assert set(training.rows).isdisjoint(held_out.rows)
    assert (held_out.person.min(), held_out.person.max()) == (0, 3)
    assert len(training.rows) + len(held_out.rows) == 80


def test_strangers_teach_parameters_but_are_no_class(tmp_path):
    training, _ = people(tmp_path / "people").split()
    strangers = Portraits.all(write_portraits(tmp_path / "strangers", seed=9))
    batch = IdentityBatches(people=training, strangers=strangers, batch_size=8)(0)
    assert (batch["person"][4:] == -1).all()
    assert (batch["person"][:4] >= 0).all()
    module = Recogniser(ArcFace(ArcFaceConfig(**CONFIG)), int(training.person.max()) + 1)
    value = loss(module, batch)
    value.backward()
    assert value.isfinite()
    assert module.centres.grad.abs().sum() > 0
    changed = batch | {"parameters": batch["parameters"] + torch.tensor([0.0] * 7 + [5.0])[:, None]}
    assert loss(module, changed) > value


def test_discriminants_find_the_direction_in_which_people_differ():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(60), 8)
    noise = rng.standard_normal((480, 3)) * [0.2, 5.0, 5.0]
    features = noise + np.outer(rng.standard_normal(60)[person], [1.0, 0.0, 0.0]) + 7
    matrix, centre = discriminant(features, person)
    turned = (features - centre) @ matrix.T
    between = np.stack([turned[person == k].mean(0) for k in range(60)]).std(0)
    assert between.max() > 10 * np.sort(between)[-2]
    assert abs(np.corrcoef(turned[:, between.argmax()], features[:, 0])[0, 1]) > 0.99


def test_the_folded_map_is_the_fitted_one(tmp_path):
    torch.manual_seed(0)
    network = ArcFace(ArcFaceConfig(**CONFIG | {"embedding": 8}))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    found = people(tmp_path)
    network.eval()
    with torch.no_grad():
        before = _unnormalised(network, found)
        matrix, centre = discriminant(before, found.person)
        discriminate(network, found)
        after = _unnormalised(network, found)
    np.testing.assert_allclose(after, (before - centre) @ matrix.T, atol=1e-3, rtol=1e-3)


def test_the_crop_is_that_of_the_published_encoders():
    image = np.zeros((256, 256, 3), np.uint8)
    image[35:223, 32:220] = 255
    assert (face_crop(image) == 255).all()
    image[34] = image[:, 220] = 0
    assert face_crop(image).shape == (112, 112, 3)
