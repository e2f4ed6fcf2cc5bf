//! Words of the lesson: GRPO, live. The paper's terms, each explained once.

use crate::lesson::{Settings, Step};

use super::percent;

/// `data-text` of an element and what it says.
pub const LABELS: &[(&str, &str)] = &[
    ("learn", "Learn: GRPO, live"),
    (
        "learn-note",
        "How such a model learns without anybody drawing boxes for it: it tries several, each is rewarded by how well a reader can read the answer in its crop, and those above the average become likelier. Here it happens on your picture, with the real model and the real gradient.",
    ),
    ("learn-answer", "The answer that you expect"),
    (
        "learn-answer-note",
        "As it is printed on the picture, on one line. The reader never sees your question, only the crop.",
    ),
    ("learn-judge", "Rewarded by"),
    ("learn-letters", "The letters that this model reads"),
    ("learn-smolvlm", "SmolVLM's likelihood of the answer"),
    ("learn-group", "Group size"),
    ("learn-temperature", "Temperature"),
    ("learn-beta", "Beta, the pull back"),
    ("learn-rate", "Learning rate"),
    ("learn-draw", "Draw a group"),
    ("learn-step", "Take one step"),
    ("learn-ten", "Take 10 steps"),
    ("learn-play", PLAY),
    ("learn-stop", "Stop"),
    ("learn-best", "The likeliest box, before and after"),
    ("learn-best-before", "As it was shipped"),
    ("learn-forget", "Forget"),
    ("learn-rollout", "Box"),
    ("learn-bar", "Reward and mean"),
    ("learn-reward", "Reward"),
    ("learn-advantage", "Advantage"),
    ("learn-logprob", "ln p"),
    ("learn-plus", "+ above the mean: becomes likelier"),
    ("learn-minus", "− below it: becomes rarer"),
    ("learn-ghost", "the group before"),
    ("learn-moved", "What the step did to the group before"),
    ("learn-before", "ln p before"),
    ("learn-after", "after"),
    ("learn-change", "Change"),
    ("learn-curve", "Mean reward, group by group"),
    ("learn-words", "In the paper's words"),
    ("learn-w-rollout", "Rollout"),
    (
        "learn-d-rollout",
        "One box, drawn at random from the policy's distribution over boxes. Its ln p is the logarithm of its probability. There are millions of boxes, so that even a good one is rare.",
    ),
    ("learn-w-group", "Group"),
    (
        "learn-d-group",
        "G rollouts of the same picture and question; 6 in the paper.",
    ),
    ("learn-w-temperature", "Temperature"),
    (
        "learn-d-temperature",
        "Below 1 the draws keep to what the policy believes, above 1 they stray. Without differences in a group there is nothing to learn from. The paper's is 0.8.",
    ),
    ("learn-w-reward", "Reward"),
    (
        "learn-d-reward",
        "What a rollout is worth: by how much the answer is less likely than the best reading of its best place in the crop, in nats a character. 0: every character is read just so. −5: the answer is nowhere. A box that cuts a digit off pays for it. The paper adds 1 for a valid box; here every box is valid.",
    ),
    ("learn-w-advantage", "Advantage"),
    (
        "learn-d-advantage",
        "Reward less the group's mean, so that advantages add up to 0. As in the paper it is not divided by the deviation (Dr. GRPO).",
    ),
    ("learn-w-step", "Policy-gradient step"),
    (
        "learn-d-step",
        "The gradient of the sum of advantage × ln p, followed once by Adam: boxes with a plus become likelier, those with a minus rarer, and so do all boxes like them. Here it moves the decoder and the question's reader, about a third of the network; the encoder stays as it is. The paper trains an adapter at a rate of 0.000005, over many thousands of pictures; on a single one a larger rate is needed to see something.",
    ),
    ("learn-w-kl", "KL and beta"),
    (
        "learn-d-kl",
        "How far the policy has gone from where it started (k3 estimator, nats). Beta times KL is added to the loss and pulls it back. The paper's beta is 0.01.",
    ),
    ("learn-w-reader", "Reader"),
    (
        "learn-d-reader",
        "In the paper a vision-language model reads the full image and the crop and says how likely the answer is. SmolVLM does that here, too, once it is loaded (Ask it something in this browser) and chosen above. Otherwise the reader is this network's own reading of letters, frozen, and it sees the crop alone, shrunk to at most 512 pixels. So it cannot tell the total from the same number elsewhere, and nothing stops a box from growing as long as the answer stays legible; boxes grow in the paper, too.",
    ),
    (
        "learn-cpu",
        "Runs on the CPU, whatever the rest runs on. Propose crop keeps using the model as it was shipped.",
    ),
];

/// Drawing without an answer.
pub const NEED_ANSWER: &str =
    "Type the answer that you expect first, as it is printed on the picture.";
/// Drawing without a question.
pub const NEED_QUESTION: &str = "Type a question above first: the policy draws boxes for it.";
/// The loaded model is no map policy.
pub const NO_LESSON: &str = "This lesson needs the small map policy that ships with the page. The model that is loaded writes its boxes as text; training that one is for the command line (cropvlm grpo).";
/// While the policy is loaded and the picture encoded.
pub const STARTING: &str = "Getting the policy ready to learn…";
/// While the model itself is still on its way.
pub const WAITING: &str = "The model is still loading. The group follows as soon as it is there.";
/// Stopped by the person.
pub const STOPPING: &str = "Stopping after this step…";
/// The worker had to be started anew.
pub const LOST: &str =
    "The model was started anew, and what was learned is gone. Draw a group to begin again.";
/// SmolVLM is to reward, and is not there.
pub const NO_JUDGE: &str = "SmolVLM is not loaded: ask it something first (Ask, provider “In this browser (SmolVLM)”), or let the letters reward.";

/// No reward differs from another.
pub const ALL_EQUAL: &str = "All boxes earned the same: no advantage, nothing to learn from this group. Draw again, or raise the temperature or the group size.";
/// No box holds the answer anywhere.
pub const NOWHERE: &str = "The answer is in none of these crops, as far as the reader can tell. Check how it is printed, or draw again at a higher temperature.";

/// Steps follow one another until it is pressed again.
pub const PLAY: &str = "Play";
/// They do.
pub const PAUSE: &str = "Pause";

/// No step was taken, `groups` of them had nothing to learn from.
pub fn no_step(groups: u32) -> String {
    let of = match groups {
        1 => "that group".to_owned(),
        _ => format!("{groups} of the groups"),
    };
    format!(
        "No step on {of}: all its boxes earned nearly the same, so that every advantage is near zero and says nothing about which box is better. A step would follow noise. Draw again, raise the temperature, or raise the group size."
    )
}

/// Under the box that was learned.
pub fn best_after(steps: u32) -> String {
    match steps {
        0 => "No step yet".to_owned(),
        1 => "After 1 step".to_owned(),
        _ => format!("After {steps} steps"),
    }
}

/// Boxes grow without more reward.
pub fn hacked(times: f64) -> String {
    format!(
        "The boxes are {times:.1} times as large as at first, and the reward is no better: nothing in it asks for a small box, so that the policy takes the easy way (reward hacking). Raise beta, or stop here."
    )
}

/// While crops are read.
pub fn reading(part: u32, of: u32) -> String {
    format!("Reading crop {part} of {of}…")
}

/// While several steps are taken.
pub fn step_of(step: u32, of: u32) -> String {
    format!("Step {step} of {of}")
}

/// Above the group. `size`: the boxes' mean share of the picture.
pub fn caption(steps: u32, mean: f64, size: f32) -> String {
    let when = match steps {
        0 => "A group from the model as it was shipped".to_owned(),
        1 => "A group after 1 step".to_owned(),
        _ => format!("A group after {steps} steps"),
    };
    let (mean, size) = (signed(mean), percent(size));
    format!("{when}: mean reward {mean}, boxes of {size} of the picture")
}

/// Under what a step did.
pub fn moved(step: &Step) -> String {
    let (right, all) = step.followed();
    format!(
        "{right} of {all} moved the way their advantage points. Weights are shared, so that like boxes move together. KL from the start, before this step: {:.3} nats.",
        step.kl
    )
}

/// The curve, for those who do not see it.
pub fn curve(means: &[f64]) -> String {
    match means {
        [] => String::new(),
        [only] => format!("One group so far, mean reward {}.", signed(*only)),
        [first, .., last] => {
            let best = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!(
                "Mean reward over {} groups: from {} to {}, at best {}.",
                means.len(),
                signed(*first),
                signed(*last),
                signed(best)
            )
        }
    }
}

/// What stands beside a slider.
pub fn setting(settings: &Settings, name: &str) -> String {
    match name {
        "group" => format!("{} boxes", settings.group),
        "temperature" => format!("{:.1}", settings.temperature),
        "beta" => format!("{}", settings.beta),
        _ => format!("{}", settings.learning_rate),
    }
}

/// A number with its sign and two digits; the sign that typography has.
pub fn signed(value: f64) -> String {
    let rounded = format!("{:.2}", value.abs());
    match value {
        v if v.is_nan() => "?".into(),
        _ if rounded.bytes().all(|b| matches!(b, b'0' | b'.')) => rounded,
        v if v < 0.0 => format!("−{rounded}"),
        _ => rounded,
    }
}

/// The same with a plus.
pub fn plus(value: f64) -> String {
    let text = signed(value);
    if value > 0.0 && text.bytes().any(|b| matches!(b, b'1'..=b'9')) {
        format!("+{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_signs() {
        assert_eq!([signed(-0.416), signed(1.5)], ["−0.42", "1.50"]);
        assert_eq!([signed(-0.001), plus(0.001)], ["0.00", "0.00"]);
        assert_eq!([plus(0.42), plus(-0.42)], ["+0.42", "−0.42"]);
    }
}
