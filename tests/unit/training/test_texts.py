import numpy as np
import pytest

from training.renderer.parameters import INDEX, sample
from training.texts import FACTS, article, every_wording, facts, prompt

NAMES = list(FACTS)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def holding(rng: np.random.Generator, **values: float) -> dict[str, bool]:
    raw = sample(rng, 1)
    for name, value in values.items():
        raw[0, INDEX[name]] = value
    return dict(zip(NAMES, facts(raw)[0].tolist(), strict=True))


def test_facts_follow_the_parameters(rng):
    found = holding(rng, glasses=1.0, beard=0.9, smile=0.9, age=0.1, gender=0.8, hair_length=0.0)
    assert all(found[name] for name in ("glasses", "beard", "smiling", "young", "man", "bald"))
    opposite = ("no glasses", "no beard", "sad", "old", "woman", "long hair", "stubble", "black hair")
    assert not any(found[name] for name in opposite)


def test_every_fact_holds_of_some_faces_and_not_of_others(rng):
    share = facts(sample(rng, 3000)).mean(0)
    assert {name: share[i] for i, name in enumerate(NAMES) if not 0.005 < share[i] < 0.95} == {}


def test_prompts_state_only_what_holds(rng):
    rows = facts(sample(rng, 200))
    drawn = [prompt(row, rng) for row in rows]
    said = np.stack([stated for _, stated in drawn])
    assert not (said & ~rows).any()
    counts = said.sum(1)
    assert 0 < (counts == 0).mean() < 0.2
    assert counts.max() <= 3
    assert all(said[i].any() or "with" not in text for i, (text, _) in enumerate(drawn))


def test_a_stated_fact_is_in_the_words(rng):
    row = np.zeros(len(NAMES), bool)
    row[NAMES.index("glasses")] = row[NAMES.index("beard")] = True
    both = {text for text, said in (prompt(row, rng) for _ in range(200)) if said.all() or said.sum() == 2}
    assert any(" with glasses and a beard" in text for text in both)
    assert all(any(word in text for word in ("glasses", "spectacles")) for text in both)
    assert all("beard" in text or "facial hair" in text for text in both)


def test_articles():
    assert (article("old face"), article("smiling face")) == ("an", "a")


def test_every_word_of_a_prompt_is_listed(rng):
    def words(text: str) -> set[str]:
        return set(text.replace("'", " ").replace("-", " ").split())

    known = set().union(*map(words, every_wording()))
    used = set().union(*(words(prompt(row, rng)[0]) for row in facts(sample(rng, 500))))
    assert used - known == {"xyzzy"}
