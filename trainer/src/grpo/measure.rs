//! What the policy is worth on held-out prompts: the rewards of its proposals (the boxes it would
//! give a user, nothing drawn), and box metrics where true boxes are known.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use grounding::NormBox;
use grounding::metrics::Summary;
use picture::RgbImage;
use policy::{Policy, ProposeOptions};
use pollster::block_on;
use serde_json::{Map, Value};

use super::config::GrpoConfig;
use super::prompts::Prompt;
use super::rewards::{Reward, Rewards};
use crate::at_once::at_once;

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
    // Where somebody far away rewards, several at the same time; pictures of so many are held.
    let together = if rewards.waits() { 16 } else { 1 };
    for chunk in prompts.chunks(together) {
        let proposed = chunk
            .iter()
            .map(|prompt| Proposed::of(config, policy, prompt, &options));
        let proposed = proposed.collect::<Result<Vec<_>>>()?;
        let found = at_once(&proposed, |one| one.worth(rewards))?;
        for (one, found) in proposed.iter().zip(found) {
            for reward in found {
                *sums.entry("eval/reward".into()).or_default() += reward.total;
                for (name, value) in reward.parts {
                    *sums.entry(format!("eval/rewards/{name}")).or_default() += value;
                }
            }
            boxes.push(one.bbox);
        }
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

/// What a policy proposes for a held-out prompt.
struct Proposed<'a> {
    prompt: &'a Prompt,
    picture: RgbImage,
    shrunk: Option<RgbImage>,
    bbox: Option<NormBox>,
    completion: String,
}

impl<'a> Proposed<'a> {
    fn of(
        config: &GrpoConfig,
        policy: &Policy,
        prompt: &'a Prompt,
        options: &ProposeOptions,
    ) -> Result<Self> {
        let picture = prompt.picture()?;
        let shrunk = config.information_gap.then(|| prompt.shrunk(&picture));
        let shrunk = shrunk.flatten();
        let full = shrunk.as_ref().unwrap_or(&picture);
        let encode = || {
            let encoded = block_on(policy.encode(full, config.longest_edge))?;
            block_on(policy.propose(&encoded, &prompt.sample.question, options))
        };
        let proposal = encode().with_context(|| prompt.name())?;
        Ok(Self {
            prompt,
            picture,
            shrunk,
            bbox: proposal.bbox,
            completion: proposal.completion,
        })
    }

    fn worth(&self, rewards: &Rewards) -> Result<Vec<Reward>> {
        let full = self.shrunk.as_ref().unwrap_or(&self.picture);
        let drawn = [(self.bbox, self.completion.as_str())];
        rewards.of(&self.prompt.sample, full, &self.picture, &drawn, true)
    }
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
