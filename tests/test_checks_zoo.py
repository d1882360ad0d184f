"""Every planted bug and every correct net of the zoo through `preflight`: who catches what."""

import numpy as np
import pytest

from nnbook import checks, losses, optim, zoo
from nnbook.checks import overfit_tiny_subset
from nnbook.zoo.cases import digits_case

# The checks that at least catch each bug. What is empty is missed by all of them.
CAUGHT = {
    "gradient_sign": "check_gradients overfit_tiny_subset rehearse",
    "gradient_of_the_sum": "check_gradients rehearse",
    "hinge_gradient": "check_gradients rehearse",
    "wrong_transposition": "check_gradients",
    "bias_without_gradient": "check_gradients overfit_tiny_subset rehearse",
    "tanh_slope_at_the_input": "check_gradients rehearse",
    "relu_mask_of_the_slope": "check_gradients overfit_tiny_subset rehearse",
    "in_place_write": "check_gradients",
    "stale_activations": "check_gradients",
    "dropout_gradient": "check_gradients",
    "np_var_without_gradient": "check_gradients",
    "detached_by_numpy": "check_gradients rehearse",
    "loss_summed": "check_independence check_initial_loss rehearse",
    "loss_averaged_over_classes": "check_initial_loss",
    "softmax_twice": "overfit_tiny_subset rehearse",
    "softmax_over_examples": "check_independence check_initial_loss overfit_tiny_subset",
    "targets_broadcast": "check_independence overfit_tiny_subset rehearse",
    "log_of_clipped_probability": "check_initial_loss overfit_tiny_subset rehearse",
    "product_of_probabilities": "check_independence check_initial_loss rehearse",
    "hinge_sign": "rehearse",
    "first_output_only": "check_initial_loss",
    "labels_off_by_one": "check_data rehearse",
    "labels_shuffled": "check_data",
    "sorted_by_class": "check_data",
    "inputs_not_scaled": "check_data",
    "validation_not_standardised": "check_data",
    "divided_by_almost_nothing": "check_data",
    "missing_values_as_numbers": "check_data",
    "validation_in_training": "check_data",
    "features_chosen_on_all_data": "",
    "labels_of_augmented_images": "check_data",
    "reshaped_not_transposed": "check_data",
    "targets_in_tiny_units": "check_data overfit_tiny_subset",
    "constant_weights": "rehearse",
    "dead_relus": "overfit_tiny_subset rehearse",
    "saturated_logistic": "check_initial_loss",
    "vanishing_gradients": "rehearse",
    "tiny_weights": "rehearse",
    "missing_activation": "overfit_tiny_subset rehearse",
    "relu_on_the_outputs": "check_initial_loss overfit_tiny_subset",
    "frozen_layer": "check_gradients",
    "shared_by_accident": "",
    "normalised_over_examples": "check_independence",
    "dropout_left_on": "check_gradients check_initial_loss",
    "dropout_not_rescaled": "rehearse",
    "batch_statistics_never_updated": "rehearse",
    "rate_diverges": "rehearse",
    "rate_too_high": "rehearse",
    "rate_too_low": "rehearse",
    "schedule_counts_steps": "check_optimizer rehearse",
    "step_uphill": "check_optimizer rehearse",
    "momentum_sign": "check_optimizer rehearse",
    "gradients_never_zeroed": "check_optimizer",
    "stale_gradient": "check_optimizer",
    "clipped_to_nothing": "rehearse",
    "half_precision": "check_optimizer",
    "penalty_factor_two": "check_regularization",
    "penalty_sign": "check_regularization",
    "penalty_dominates": "check_regularization",
    "biases_decay": "check_regularization",
    "started_over": "rehearse",
    "stopped_at_the_worst": "rehearse",
    "one_minibatch": "rehearse",
}


def look_at(case):
    return checks.preflight(
        case.net, case.loss, case.data, case.validation, verbose=False, **case.fit_options
    )


def catchers(report):
    """The checks that found something, under the names of their functions."""
    return {result.check.split()[0] for result in report.results if not result.passed}


def test_the_table_is_of_every_bug_and_says_what_is_missed():
    assert list(CAUGHT) == [bug.name for bug in zoo.BUGS]
    missed = [name for name, by in CAUGHT.items() if not by]
    assert missed == ["features_chosen_on_all_data", "shared_by_accident"]
    assert len(missed) <= 0.05 * len(CAUGHT)


def test_bugs_planted_later_are_caught_too_and_their_twins_left_alone():
    for bug in zoo.LATER_BUGS:
        found = look_at(bug.build())
        assert set(bug.caught_by) <= catchers(found), found
        assert bug.missed_by not in catchers(found)
        assert look_at(bug.correct()).passed


@pytest.mark.parametrize("bug", zoo.BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_caught(bug):
    report = look_at(bug.build())
    expected = set(CAUGHT[bug.name].split())
    assert expected <= catchers(report), report
    assert report.passed == (not expected), report
    # No check gave up where it should have judged.
    assert not any("it stopped with" in finding.message for finding in report.findings)


@pytest.mark.parametrize("net", zoo.CORRECT, ids=lambda net: net.name)
def test_a_correct_net_causes_no_false_alarm(net):
    report = look_at(net.build())
    assert report.findings == (), report
    for name in ("check_gradients", "check_gradients after 20 steps"):
        gradients = report[name]
        assert gradients.dtype == "float64"
        assert gradients.verdict == "happy", gradients
        # What cannot be judged, since a kink is too near, is a small part.
        judged = sum(c.judged for c in gradients.coordinates)
        assert judged >= 0.8 * len(gradients.coordinates)


@pytest.mark.parametrize(
    ("name", "seed"),
    [("tanh_units", 1), ("convolution_and_pooling", 2), ("embedding", 1), ("hinge_loss", 3)],
)
def test_nor_with_another_seed_on_another_device_and_hybridised(name, seed):
    (net,) = (net for net in zoo.CORRECT if net.name == name)
    case = net.build(seed, "cpu(1)")
    case.net.hybridize()
    report = look_at(case)
    assert report.findings == (), report


@pytest.mark.parametrize("name", ["wrong_transposition", "loss_summed", "dead_relus"])
def test_a_bug_is_caught_on_another_device(name):
    report = look_at(zoo.bug(name).build(device="cpu(1)"))
    assert set(CAUGHT[name].split()) <= catchers(report)


@pytest.mark.parametrize(
    "name", ["rate_diverges", "rate_too_low", "step_uphill", "stale_gradient", "clipped_to_nothing"]
)
def test_the_tiny_subset_with_the_rule_of_the_run(name):
    case = zoo.bug(name).build()
    rule = case.fit_options["optimizer"]
    result = overfit_tiny_subset(case.net, case.loss, *case.data, optimizer=rule)
    assert not result.passed
    assert overfit_tiny_subset(case.net, case.loss, *case.data).passed  # the net itself can


def test_learning_by_heart_is_not_enough():
    """Pixels in a random order of their own in every image: fitted, and no good for others."""
    case = digits_case(0)
    rng = np.random.default_rng(0)
    shuffled = rng.permuted(case.data[0], axis=1)
    loss = losses.softmax_cross_entropy
    assert overfit_tiny_subset(case.net, loss, shuffled, case.data[1]).passed
    report = checks.preflight(
        case.net,
        loss,
        (shuffled, case.data[1]),
        case.validation,
        verbose=False,
        optimizer=optim.momentum(0.1),
    )
    assert "check_data" in catchers(report)
