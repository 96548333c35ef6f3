"""Noise keeps the words, or what they mean, and is the same for the same seed."""

from random import Random

import pytest

from routing.offline.noise import NOISES, Noise, letter_case, noisy, paraphrase, white_space

TEXTS = [f"Which of the following is true about {number} people? Give an example." for number in range(40)]


@pytest.mark.parametrize("noise", NOISES.values(), ids=list(NOISES))
def test_noise_is_seeded_and_changes_most_prompts(noise: Noise) -> None:
    first = noisy(TEXTS, noise)
    assert first == noisy(TEXTS, noise)
    assert first != noisy(TEXTS, noise, seed=1)
    assert sum(a != b for a, b in zip(first, TEXTS, strict=True)) > 30


def test_white_space_keeps_every_word() -> None:
    assert all(new.split() == old.split() for new, old in zip(noisy(TEXTS, white_space), TEXTS, strict=True))


def test_letter_case_keeps_every_letter() -> None:
    changed = noisy(TEXTS, letter_case)
    assert all(new.lower() == old.lower() for new, old in zip(changed, TEXTS, strict=True))
    assert any(new.isupper() for new in changed)
    assert any(new.islower() for new in changed)


def test_a_paraphrase_keeps_capitals_and_what_it_does_not_know() -> None:
    found = {paraphrase("Which of the following flies, a moth?", Random(seed)) for seed in range(40)}
    assert any("Which one of these flies, a moth?" in text for text in found)
    assert any("Which of the following flies, a moth?" in text for text in found)
