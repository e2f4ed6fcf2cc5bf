//! What each number is, in words for somebody who has never seen it.

use grounding::prompt::capitalize;

/// Parts of the page, in their order.
pub const GROUPS: [&str; 4] = [
    "Is it learning?",
    "What the rewards are made of",
    "What the policy does",
    "Optimiser and speed",
];
const LEARNING: usize = 0;
const REWARDS: usize = 1;
const POLICY: usize = 2;
const OPTIMISER: usize = 3;

/// Where a number stands and how it is introduced.
pub struct Words {
    /// Place in [`GROUPS`].
    pub group: usize,
    /// Heading.
    pub title: String,
    /// One calm sentence.
    pub sentence: String,
}

/// Name, group, heading, sentence.
type Known = (&'static str, usize, &'static str, &'static str);

const KNOWN: [Known; 30] = [
    (
        "eval/time",
        OPTIMISER,
        "Seconds an evaluation",
        "How long it took to measure the held-out questions.",
    ),
    (
        "reward",
        LEARNING,
        "Reward",
        "How good the proposed boxes were, averaged over all tries of a step; it should rise, unevenly, because every step asks other questions.",
    ),
    (
        "reward_std",
        POLICY,
        "Spread of rewards within a group",
        "How much the tries for one question differ in reward; the policy learns from these differences alone.",
    ),
    (
        "frac_reward_zero_std",
        POLICY,
        "Groups without a difference",
        "Share of questions whose tries all got the same reward; such questions teach nothing, so near 1 training stands still.",
    ),
    (
        "kl",
        POLICY,
        "Distance from the start (KL)",
        "How far the policy has moved away from the model it started as; a slow rise is normal, a jump is a warning.",
    ),
    (
        "entropy",
        POLICY,
        "Entropy",
        "How undecided the policy is; it falls as the policy becomes sure, and near 0 all its tries are alike.",
    ),
    (
        "clip_ratio",
        POLICY,
        "Clipped updates",
        "Share of tokens whose change was held back because it would have been too large at once; 0 is normal with one update a group.",
    ),
    (
        "completions/mean_length",
        POLICY,
        "Length of a completion",
        "Tokens that the policy writes for one box; it should stay level, since a longer text is no better box.",
    ),
    (
        "completions/min_length",
        POLICY,
        "Shortest completion",
        "Tokens of the shortest text of a step.",
    ),
    (
        "completions/max_length",
        POLICY,
        "Longest completion",
        "Tokens of the longest text of a step; at the limit, texts were cut off.",
    ),
    (
        "completions/clipped_ratio",
        POLICY,
        "Completions cut off",
        "Share of texts that reached the limit of tokens before they ended; it should stay near 0.",
    ),
    (
        "rewards/likelihood/mean",
        REWARDS,
        "Likelihood reward",
        "How likely the reader finds the right answer once it sees the crop, as a logarithm: 0 would be certain, so upwards is better.",
    ),
    (
        "rewards/accuracy/mean",
        REWARDS,
        "Accuracy reward",
        "How often the reader's own answer is right once it sees the crop; 1 would be always.",
    ),
    (
        "rewards/validity/mean",
        REWARDS,
        "Validity reward",
        "Share of texts that are a valid box; it should be near 1 soon.",
    ),
    (
        "grad_norm",
        OPTIMISER,
        "Gradient norm",
        "How strongly the data pulls at the weights, before the pull is bounded; single spikes are questions that surprised the network.",
    ),
    (
        "lr",
        OPTIMISER,
        "Learning rate",
        "Size of the steps, as planned: a short rise, then a slow fall.",
    ),
    (
        "step_time",
        OPTIMISER,
        "Seconds a step",
        "How long a step took; a slow drift upwards would be a reason to look.",
    ),
    (
        "samples_per_second",
        OPTIMISER,
        "Samples a second",
        "Questions learned from in a second, averaged since the start.",
    ),
    (
        "eval/reward",
        LEARNING,
        "Reward, held out",
        "The reward on held-out questions; if it falls while the training reward rises, the policy learns by heart.",
    ),
    (
        "eval/full_recall",
        LEARNING,
        "Wholly inside, held out",
        "Share of questions whose evidence lies wholly inside the proposed box; read it together with the size of the boxes.",
    ),
    (
        "eval/recall",
        LEARNING,
        "Recall, held out",
        "Share of the evidence that the box covers, on average; it means something only together with the size of the boxes.",
    ),
    (
        "eval/iou",
        LEARNING,
        "Overlap (IoU), held out",
        "Shared area of proposed and true box as a part of both together; good crops leave some air, so higher is not always better.",
    ),
    (
        "eval/size",
        LEARNING,
        "Size of the boxes, held out",
        "Mean area of the boxes as a share of the picture; at the same recall, smaller is better.",
    ),
    (
        "eval/valid",
        LEARNING,
        "Valid boxes, held out",
        "Share of proposals that are a box at all; it should be 1.",
    ),
    (
        "eval/accuracy",
        LEARNING,
        "Accuracy, held out",
        "How often the reader answers held-out questions rightly with the crop.",
    ),
    (
        "eval/likelihood",
        LEARNING,
        "Likelihood, held out",
        "How likely the reader finds the right answers to held-out questions with the crop, as a logarithm: upwards is better.",
    ),
    (
        "place",
        OPTIMISER,
        "Loss: place",
        "The part of the loss that asks for the right place on the picture.",
    ),
    (
        "edges",
        OPTIMISER,
        "Loss: edges",
        "The part of the loss that asks for the right edges of the box.",
    ),
    (
        "cells",
        OPTIMISER,
        "Loss: cells",
        "The part of the loss that asks, cell by cell, whether evidence is there.",
    ),
    (
        "reading",
        OPTIMISER,
        "Loss: reading",
        "The part of the loss that asks the network to find printed lines by their text.",
    ),
];

/// Words for a number. `grpo`: the run has rollouts, which changes what its loss says.
pub fn words(name: &str, grpo: bool) -> Words {
    let of = |group, title: &str, sentence: &str| Words {
        group,
        title: title.to_owned(),
        sentence: sentence.to_owned(),
    };
    if let Some((_, group, title, sentence)) = KNOWN.iter().find(|known| known.0 == name) {
        return of(*group, title, sentence);
    }
    match name {
        "loss" if grpo => {
            return of(
                OPTIMISER,
                "Loss",
                "What the optimiser lowers; in GRPO it hovers about zero and its height says little, so watch the reward.",
            );
        }
        "loss" => {
            return of(
                LEARNING,
                "Loss",
                "How badly the network predicts the true boxes; it should fall, fast at first, then slowly.",
            );
        }
        _ => {}
    }
    if let Some(reward) = name.strip_prefix("eval/rewards/") {
        let title = format!("{} reward, held out", capitalize(reward));
        let train = format!("rewards/{reward}/mean");
        let same = KNOWN.iter().find(|known| known.0 == train);
        let sentence = same.map_or_else(
            || format!("The part \"{reward}\" of the reward; upwards is better."),
            |known| known.3.to_owned(),
        );
        return of(LEARNING, &title, &sentence);
    }
    let reward = name
        .strip_prefix("rewards/")
        .and_then(|rest| rest.split_once('/'));
    if let Some((reward, part)) = reward {
        let (title, sentence) = match part {
            "mean" => (
                format!("Reward: {reward}"),
                format!(
                    "The part \"{reward}\" of the reward, averaged over a step; upwards is better."
                ),
            ),
            _ => (
                format!("Reward: {reward}, {part}"),
                format!("How much the part \"{reward}\" of the reward varies within a step."),
            ),
        };
        return of(REWARDS, &title, &sentence);
    }
    if let Some(rest) = name.strip_prefix("eval/") {
        return of(
            LEARNING,
            rest,
            "Measured at checkpoints on questions that are not trained on.",
        );
    }
    if name.starts_with("completions/") {
        return of(POLICY, name, "About the texts that the policy writes.");
    }
    if name.contains("time") || name.contains("second") {
        return of(OPTIMISER, name, "Time that the parts of a step take.");
    }
    of(
        OPTIMISER,
        name,
        "A number that the run reports; its name is the configuration's.",
    )
}
