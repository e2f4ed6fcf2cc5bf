//! Properties of rewards and advantages.

use grounding::reward::{Scale, advantages, deviation, mean, validity_reward};
use proptest::prelude::*;

fn group() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-50.0..5.0f64, 2..12)
}

proptest! {
    #[test]
    fn advantages_of_a_group_add_up_to_nothing(rewards in group()) {
        for scale in [Scale::None, Scale::Deviation] {
            let sum: f64 = advantages(&rewards, scale).iter().sum();
            prop_assert!(sum.abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn they_keep_the_order_of_the_rewards(rewards in group()) {
        for scale in [Scale::None, Scale::Deviation] {
            let found = advantages(&rewards, scale);
            for (i, a) in rewards.iter().enumerate() {
                for (j, b) in rewards.iter().enumerate() {
                    prop_assert!(a <= b || found[i] > found[j]);
                }
            }
        }
    }

    #[test]
    fn a_constant_added_to_every_reward_changes_nothing(rewards in group(), by in -20.0..20.0f64) {
        let moved: Vec<f64> = rewards.iter().map(|r| r + by).collect();
        for scale in [Scale::None, Scale::Deviation] {
            let pairs = advantages(&rewards, scale).into_iter().zip(advantages(&moved, scale));
            for (a, b) in pairs {
                prop_assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }

    #[test]
    fn equal_rewards_have_no_advantage_to_the_bit(reward in -50.0..5.0f64, n in 1..12usize) {
        for scale in [Scale::None, Scale::Deviation] {
            let found = advantages(&vec![reward; n], scale);
            prop_assert!(found.iter().all(|a| *a == 0.0), "{found:?}");
        }
    }

    #[test]
    fn only_the_scaled_ones_forget_the_size_of_rewards(rewards in group()) {
        prop_assume!(deviation(&rewards) > 0.5);
        let doubled: Vec<f64> = rewards.iter().map(|r| r * 2.0).collect();
        let pairs = advantages(&rewards, Scale::None).into_iter().zip(advantages(&doubled, Scale::None));
        for (a, b) in pairs {
            prop_assert!((2.0 * a - b).abs() < 1e-9);
        }
        let pairs = advantages(&rewards, Scale::Deviation)
            .into_iter()
            .zip(advantages(&doubled, Scale::Deviation));
        for (a, b) in pairs {
            prop_assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }
}

/// `torch.tensor([1., 2., 4., 4.]).std()` = 1.5; the reference divides by it plus 1e-4.
#[test]
fn the_deviation_is_that_of_a_sample() {
    let rewards = [1.0, 2.0, 4.0, 4.0];
    assert_eq!(mean(&rewards), 2.75);
    assert!((deviation(&rewards) - 1.5).abs() < 1e-12);
    let scaled = advantages(&rewards, Scale::Deviation);
    assert!((scaled[0] - -1.75 / 1.5001).abs() < 1e-12, "{scaled:?}");
}

#[test]
fn form_is_rewarded_as_in_the_paper() {
    assert_eq!(validity_reward(" [10, 20, 63, 57]."), 1.0);
    assert_eq!(validity_reward("Not needed."), 0.25);
    for text in [
        "",
        "[10, 20, 63, 57]",
        "[63, 20, 10, 57].",
        "not needed.",
        "[1, 2, 3].",
    ] {
        assert_eq!(validity_reward(text), 0.0, "{text}");
    }
}

#[test]
fn small_groups_are_no_trouble() {
    assert!(advantages(&[], Scale::Deviation).is_empty());
    assert_eq!(advantages(&[-3.0], Scale::Deviation), [0.0]);
}
