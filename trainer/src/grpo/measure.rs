//! What the policy is worth on held-out prompts: the rewards of its proposals (the boxes it would
//! give a user, nothing drawn), and box metrics where true boxes are known.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use grounding::NormBox;
use grounding::metrics::Summary;
use policy::{Policy, ProposeOptions};
use pollster::block_on;
use serde_json::{Map, Value};

use super::config::GrpoConfig;
use super::prompts::Prompt;
use super::rewards::Rewards;

/// Measures a policy without gradients; the line's keys begin with `eval/`.
///
/// # Errors
/// A picture, a question or a reward that fails, with the sample's name.
pub fn measure(
    config: &GrpoConfig,
    policy: &Policy,
    rewards: &Rewards,
    prompts: &[Prompt],
) -> Result<Map<String, Value>> {
    let options = ProposeOptions {
        unconstrained: config.unconstrained,
    };
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    let mut boxes: Vec<Option<NormBox>> = Vec::new();
    for prompt in prompts {
        let about = || format!("sample \"{}\"", prompt.sample.id);
        let picture = prompt.picture()?;
        let shrunk = config.information_gap.then(|| prompt.shrunk(&picture));
        let shrunk = shrunk.flatten();
        let full = shrunk.as_ref().unwrap_or(&picture);
        let seen = block_on(policy.look(full, config.longest_edge)).with_context(about)?;
        let proposal = block_on(policy.propose(&seen, &prompt.sample.question, &options))
            .with_context(about)?;
        let drawn = [(proposal.bbox, proposal.completion.as_str())];
        let found = rewards.of(&prompt.sample, full, &picture, &drawn, true)?;
        for reward in found {
            *sums.entry("eval/reward".into()).or_default() += reward.total;
            for (name, value) in reward.parts {
                *sums.entry(format!("eval/rewards/{name}")).or_default() += value;
            }
        }
        boxes.push(proposal.bbox);
    }
    let count = prompts.len().max(1) as f64;
    let mut line: Map<String, Value> = sums
        .into_iter()
        .map(|(name, sum)| (name, (sum / count).into()))
        .collect();
    let known = prompts.iter().zip(&boxes);
    let known: Vec<_> = known
        .filter(|(prompt, _)| !prompt.sample.boxes.is_empty())
        .map(|(prompt, bbox)| (&prompt.sample, *bbox))
        .collect();
    if !known.is_empty() {
        let summary = Summary::over(known);
        for (name, value) in [
            ("valid", summary.valid),
            ("iou", summary.iou),
            ("recall", summary.recall),
            ("full_recall", summary.full_recall),
            ("size", summary.size),
        ] {
            line.insert(format!("eval/{name}"), value.into());
        }
    }
    Ok(line)
}

/// What was found on so many held-out questions, for a person.
pub fn sentence(found: &Map<String, Value>, questions: usize) -> String {
    let number = |key: &str| found.get(key).and_then(Value::as_f64);
    let parts = found.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix("eval/rewards/")?;
        Some(format!("{name} {:.3}", value.as_f64()?))
    });
    let parts: Vec<String> = parts.collect();
    let mut text = format!(
        "The boxes proposed for {questions} held-out questions are worth a reward of {:.3} ({}).",
        number("eval/reward").unwrap_or(f64::NAN),
        parts.join(", ")
    );
    let percent = |key: &str| number(key).map(|share| 100.0 * share);
    if let (Some(whole), Some(size)) = (percent("eval/full_recall"), percent("eval/size")) {
        text.push_str(&format!(
            " {whole:.1} % of them hold the evidence wholly; a box covers {size:.1} % of the picture in the mean."
        ));
    }
    text
}
