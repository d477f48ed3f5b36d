"""Calibration of audits: the fit against its own conditions, priors by Bayes' rule, and what fits a model."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.diagnostics.painted import SPEC, calibration_by_hand
from yoloscope.models.errors import SpecError
from yoloscope.training.diagnostics.calibration import (
    FEATURES,
    AuditCalibration,
    Channel,
    expected_calibration_error,
    fit_channel,
    fit_missing,
)
from yoloscope.training.diagnostics.findings import KINDS, FindingKind


def _sample(kind: FindingKind, count: int = 400, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of any spread, and errors that depend on the first of them."""
    source = np.random.default_rng(seed)
    width = len(FEATURES[kind])
    features = source.normal(0, 1, (count, width)) * np.linspace(0.1, 5, width) + np.arange(width)
    positive = source.uniform(size=count) < 1 / (1 + np.exp(-4 * features[:, 0] / 0.1 + 3))
    return torch.tensor(features, dtype=torch.float32), torch.tensor(positive)


def _logits(channel: Channel, features: Tensor) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values = (features.double().numpy() - np.array(channel.mean)) / np.array(channel.scale)
    return np.asarray(values @ np.array(channel.weights) + channel.bias)


class TestFit:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_is_the_optimum_of_the_penalized_likelihood(self, kind: FindingKind) -> None:
        """Its gradient is 0: sum of (error - probability) * feature = weight. The problem is convex."""
        features, positive = _sample(kind)
        channel = fit_channel(kind, features, positive)
        values = (features.double().numpy() - np.array(channel.mean)) / np.array(channel.scale)
        residual = positive.numpy() - 1 / (1 + np.exp(-_logits(channel, features)))
        np.testing.assert_allclose(values.T @ residual, channel.weights, atol=1e-6)
        assert residual.sum() == pytest.approx(channel.bias, abs=1e-6)

    def test_features_are_standardized(self) -> None:
        features, positive = _sample("class")
        channel = fit_channel("class", features, positive)
        np.testing.assert_allclose(channel.mean, features.double().numpy().mean(0), rtol=1e-9)
        np.testing.assert_allclose(channel.scale, features.double().numpy().std(0), rtol=1e-4)

    def test_the_share_of_errors_is_kept(self) -> None:
        features, _ = _sample("class", 100)
        positive = torch.arange(100) < 7
        assert fit_channel("class", features, positive).fitted_prevalence == pytest.approx(0.07)

    @pytest.mark.parametrize("share", [0.0, 1.0])
    def test_labels_that_are_all_right_or_all_wrong_give_finite_probabilities(self, share: float) -> None:
        features, _ = _sample("spurious", 50)
        channel = fit_channel("spurious", features, torch.full((50,), share > 0))
        probability = channel.probability(features)
        assert ((probability >= 0) & (probability <= 1)).all()

    def test_a_feature_that_never_varies_has_no_say(self) -> None:
        features, positive = _sample("class")
        features[:, 2] = 7.0
        channel = fit_channel("class", features, positive)
        assert channel.weights[2] == pytest.approx(0, abs=1e-9)
        assert torch.isfinite(channel.probability(features)).all()


class TestPrevalence:
    def test_the_shift_is_the_rule_of_bayes(self) -> None:
        """Fitted at 1:1 the odds are the ratio of the likelihoods: 3. At a prior of .1 that is .3 / (.3 + .9)."""
        channel = calibration_by_hand().channels["spurious"].model_copy(update={"bias": math.log(3)})
        nothing = torch.zeros(1, len(FEATURES["spurious"]))
        assert channel.probability(nothing, 0.5).item() == pytest.approx(0.75)
        assert channel.probability(nothing, 0.1).item() == pytest.approx(0.3 / (0.3 + 0.9))
        rarer = channel.model_copy(update={"fitted_prevalence": 0.2})
        assert rarer.probability(nothing, 0.2).item() == pytest.approx(0.75)

    @pytest.mark.parametrize("prevalence", [0.001, 0.03, 0.2, 0.5])
    def test_as_many_missing_labels_are_expected_as_stated(self, prevalence: float) -> None:
        """Of n labels and m missing ones the share is m / (n + m). A hundred quantiles stand for all detections:
        they are within a tenth of them, where they overlook the best few, and met exactly."""
        source = np.random.default_rng(0)
        labeled = torch.arange(4000) < 900
        features = torch.tensor(source.normal(0, 1, (4000, 3)), dtype=torch.float32)
        features[:, 0] += torch.where(labeled, 2.0, 0.0)
        channel = fit_missing(features, labeled, 900)
        expected = channel.probability(features[~labeled], prevalence).sum().item()
        assert expected / (900 + expected) == pytest.approx(prevalence, rel=0.1)
        shifted = np.array(channel.unlabeled_logits) + channel.log_odds_shift(prevalence)
        expected = float(np.mean(1 / (1 + np.exp(-shifted)))) * 3100
        assert expected / (900 + expected) == pytest.approx(prevalence, rel=1e-9)

    def test_the_missing_labels_of_a_detector_that_sees_too_little_are_bounded(self) -> None:
        features, labeled = _sample("missing", 100)
        channel = fit_missing(features, labeled, 10_000)
        assert channel.probability(features[~labeled], 0.9).max().item() <= 1

    def test_it_does_not_change_the_order(self) -> None:
        features, positive = _sample("location")
        channel = fit_channel("location", features, positive)
        low, high = (channel.probability(features, share) for share in (0.01, 0.3))
        assert torch.equal(low.argsort(stable=True), high.argsort(stable=True))
        assert (low < high).all()

    def test_another_one_is_stated_by_kind(self) -> None:
        changed = calibration_by_hand(prevalence=0.03).with_prevalence({"missing": 0.2})
        assert {kind: changed.channels[kind].prevalence for kind in KINDS} == {
            "missing": 0.2,
            "class": 0.03,
            "location": 0.03,
            "spurious": 0.03,
        }

    @pytest.mark.parametrize("share", [0, 1e-5, 0.91, 1, -1, math.nan, math.inf])
    def test_one_out_of_bounds_is_refused(self, share: float) -> None:
        with pytest.raises(SpecError, match=r"prevalence of class: expected 0\.0001 to 0\.9, got"):
            calibration_by_hand().with_prevalence({"class": share})


class TestInModel:
    def test_it_is_read_back(self) -> None:
        calibration = calibration_by_hand()
        spec = SPEC.model_copy(update={"calibration": calibration.model_dump(mode="json")})
        assert AuditCalibration.of_spec(type(spec).from_json(spec.to_json())) == calibration

    def test_a_model_without_one(self) -> None:
        assert AuditCalibration.of_spec(SPEC) is None

    def _of(self, **changes: Any) -> AuditCalibration | None:
        document = calibration_by_hand().model_dump(mode="json") | changes
        return AuditCalibration.of_spec(SPEC.model_copy(update={"calibration": document}))

    def test_another_number_of_classes(self) -> None:
        with pytest.raises(SpecError, match="expected a calibration of 3 classes, got 2"):
            self._of(typical_sizes=(0.1, 0.2))

    def test_another_version(self) -> None:
        with pytest.raises(SpecError, match="expected a calibration of label audits in the model"):
            self._of(format_version=2)

    def test_other_features(self) -> None:
        channels = calibration_by_hand().model_dump(mode="json")["channels"]
        channels["spurious"]["features"][0] = "luck"
        with pytest.raises(SpecError, match=r"calibration of spurious labels by overlap_any, .* calibrate it again"):
            self._of(channels=channels)

    def test_a_kind_that_is_missing(self) -> None:
        channels = calibration_by_hand().model_dump(mode="json")["channels"]
        del channels["location"]
        with pytest.raises(SpecError, match="expected a calibration of location labels"):
            self._of(channels=channels)

    @pytest.mark.parametrize("name", ["mean", "scale", "weights"])
    def test_too_few_numbers(self, name: str) -> None:
        channels = calibration_by_hand().model_dump(mode="json")["channels"]
        channels["class"][name] = [1.0]
        with pytest.raises(SpecError, match="calibration"):
            self._of(channels=channels)

    def test_an_unknown_view(self) -> None:
        with pytest.raises(SpecError, match="views"):
            self._of(views=("plain", "sideways"))

    def test_a_first_view_that_is_not_the_image_itself(self) -> None:
        with pytest.raises(SpecError, match="plain"):
            self._of(views=("mirrored", "plain"))


def test_a_probability_has_the_same_bits_in_any_batch() -> None:
    for kind in KINDS:
        features, positive = _sample(kind, 301)
        channel = fit_channel(kind, features, positive)
        together = channel.probability(features)
        alone = torch.cat([channel.probability(features[row : row + 1]) for row in range(301)])
        assert torch.equal(together, alone)


def test_the_calibration_error_by_hand() -> None:
    """Two bins: .1 and .2 without an error, .6 and .8 with one: |0 - .15| and |.5 - .7|, each half of all."""
    probability, positive = torch.tensor([0.8, 0.1, 0.6, 0.2]), torch.tensor([True, False, False, False])
    assert expected_calibration_error(probability, positive, bins=2) == pytest.approx(0.175)
