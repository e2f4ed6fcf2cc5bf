//! What each rollout of a group is worth: reward functions by name, each with a weight, added up.
//!
//! A bad completion is data: it is scored, with a crop of 2 x 2 pixels, and rewarded little. A broken
//! reward (NaN, an answer that is not there) is a bug: the run stops and names the sample.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use grounding::{NormBox, Sample};
use picture::RgbImage;
use policy::Rollout;

use super::config::{GrpoConfig, RewardKind};
use super::reward_functions::{Drawn, RewardFunction, function};
use crate::reader::{ApiReader, Reader};

/// The rewards of one rollout.
#[derive(Debug, Clone, Default)]
pub struct Reward {
    /// Each by name, unweighted: likelihood (nats), accuracy, validity, and so on.
    pub parts: BTreeMap<&'static str, f64>,
    /// Their weighted sum.
    pub total: f64,
}

/// Computes rewards.
pub struct Rewards<'a> {
    functions: Vec<(RewardKind, Box<dyn RewardFunction>, f64)>,
    reader: Option<&'a Reader>,
    api: Option<&'a ApiReader>,
}

impl<'a> Rewards<'a> {
    /// Rewards of a configuration; the reader may be absent where no reward needs it.
    pub fn new(config: &GrpoConfig, reader: Option<&'a Reader>) -> Self {
        let all = RewardKind::ALL.into_iter();
        Self {
            functions: all
                .map(|kind| (kind, function(kind, config), config.rewards.weight(kind)))
                .collect(),
            reader,
            api: None,
        }
    }

    /// With a provider's model in place of a reader.
    pub fn with_api(self, api: Option<&'a ApiReader>) -> Self {
        Self { api, ..self }
    }

    /// Whether somebody far away is waited for, so that many groups are better rewarded at the same time.
    pub fn waits(&self) -> bool {
        self.api.is_some()
    }

    /// Whether a sample can be rewarded: to be asked before a run, not in the middle of it.
    ///
    /// # Errors
    /// A sample without what a reward of the configuration needs: an answer, a true box.
    pub fn check(config: &GrpoConfig, sample: &Sample) -> Result<()> {
        for kind in RewardKind::ALL {
            if config.rewards.weight(kind) != 0.0 {
                function(kind, config)
                    .check(sample)
                    .with_context(|| format!("sample \"{}\"", sample.id))?;
            }
        }
        Ok(())
    }

    /// Rewards of rollouts, in their order: `shown` is the full image as it is shown, crops are cut from `picture`. `all`
    /// computes also those of weight 0 that can be given (for measuring).
    ///
    /// # Errors
    /// A reader that fails, a reward that is no number: with the sample's name.
    pub fn of(
        &self,
        sample: &Sample,
        shown: &RgbImage,
        picture: &RgbImage,
        rollouts: &[(Option<NormBox>, &str)],
        all: bool,
    ) -> Result<Vec<Reward>> {
        self.parts(sample, (shown, picture), rollouts, all)
            .with_context(|| format!("rewards of sample \"{}\"", sample.id))
    }

    fn parts(
        &self,
        sample: &Sample,
        pictures: (&RgbImage, &RgbImage),
        rollouts: &[(Option<NormBox>, &str)],
        all: bool,
    ) -> Result<Vec<Reward>> {
        let mut rewards = vec![Reward::default(); rollouts.len()];
        let drawn = Drawn::new(sample, pictures, rollouts, (self.reader, self.api));
        let letters = matches!(self.reader, Some(Reader::Letters(_)));
        for (kind, function, weight) in &self.functions {
            // Validity costs nothing, letters give both of theirs from one reading, and a provider costs money.
            let free = match kind {
                RewardKind::Validity => true,
                RewardKind::Accuracy if self.api.is_some() => false,
                RewardKind::Likelihood | RewardKind::Accuracy => all || letters,
                // Box metrics say as much.
                _ => false,
            };
            if *weight == 0.0 && !free {
                continue;
            }
            let Some(values) = function.of(&drawn)? else {
                continue;
            };
            let name = function.name();
            for (reward, value) in rewards.iter_mut().zip(values) {
                if !value.is_finite() {
                    bail!("{name} is {value}; the last good checkpoint is kept");
                }
                reward.parts.insert(name, value);
                reward.total += weight * value;
            }
        }
        Ok(rewards)
    }
}

/// Box and text of rollouts, as [`Rewards::of`] takes them.
pub fn of_rollouts(rollouts: &[Rollout]) -> Vec<(Option<NormBox>, &str)> {
    rollouts
        .iter()
        .map(|r| (r.bbox, r.completion.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use grounding::Case;

    use super::super::config::Metric;
    use super::super::reward_functions::score;
    use super::*;
    use crate::reader::RewardModel;

    #[test]
    fn the_metric_follows_the_number_of_answers() {
        let ten: Vec<String> = (0..10)
            .map(|i| if i < 2 { "two" } else { "three" }.to_string())
            .collect();
        // Two of ten people: leave-one-out gives (2 x 1/3 + 8 x 2/3) / 10.
        let found = score(Metric::Auto, "Two.", &ten);
        assert!((found - 0.6).abs() < 1e-9, "{found}");
        let one = ["coca cola".to_string()];
        assert_eq!(score(Metric::Auto, " Coca cola. ", &one), 1.0);
        let near = score(Metric::Auto, "Coca colo", &one);
        assert!((near - 8.0 / 9.0).abs() < 1e-9, "{near}");
        assert_eq!(score(Metric::VqaAccuracy, "Coca colo", &one), 0.0);
    }

    /// Weights that need no reader.
    fn config(rewards: &str) -> GrpoConfig {
        toml::from_str(rewards).expect("a configuration")
    }

    fn sample(nested: &str) -> Sample {
        let line = format!(
            "{{\"id\": \"a\", \"image\": \"a.png\", \"question\": \"Q?\", \"width\": 100, \"height\": 100{nested}}}"
        );
        serde_json::from_str(&line).expect("a sample")
    }

    #[test]
    fn grounding_is_rewarded_by_name_and_weight() {
        let listed = "[[rewards]]\nkind = \"iou\"\nweight = 2.0\n[[rewards]]\nkind = \"distance\"\n\
                      [[rewards]]\nkind = \"coverage\"\nweight = 0.5\n[[rewards]]\nkind = \"grounding\"\nweight = 10.0";
        let config = config(listed);
        let sample = sample(", \"nested\": [[10, 20, 30, 40], [0, 0, 50, 50]]");
        Rewards::check(&config, &sample).expect("it has boxes");
        let bbox: NormBox = "12,20,32,40".parse().expect("a box");
        let rollouts = [(Some(bbox), "[12, 20, 32, 40]."), (None, "Hm.")];
        let rewards = Rewards::new(&config, None);
        let page = RgbImage::new(9, 9);
        let found = rewards.of(&sample, &page, &page, &rollouts, false);
        let found = found.expect("rewards");
        let iou = 360.0 / 440.0;
        let expected = [
            ("coverage", 0.9),
            ("distance", 0.99),
            ("grounding", iou + 0.99),
            ("iou", iou),
            ("validity", 1.0),
        ];
        assert_eq!(found[0].parts.len(), expected.len());
        for ((name, value), (expected_name, expected)) in found[0].parts.iter().zip(expected) {
            assert_eq!(*name, expected_name);
            assert!((value - expected).abs() < 1e-9, "{name}: {value}");
        }
        let total = 2.0 * iou + 0.99 + 0.45 + 10.0 * (iou + 0.99);
        assert!((found[0].total - total).abs() < 1e-9, "{found:?}");
        // No box is worth nothing.
        assert_eq!(found[1].total, 0.0);
    }

    /// Correct and with a crop has the bonus; a wrong answer and `Not needed.` have not; what is no completion has nothing.
    #[test]
    fn the_bonus_wants_a_right_answer_and_a_crop() {
        use smolvlm::{SmolVlm, tiny};
        let device = burn::tensor::Device::flex();
        let model = SmolVlm::random(&tiny::files(), 3, &device).expect("model");
        let reader = Reader::Vlm(RewardModel::new(model, Case::Capitalize, Some(48)));
        let page = RgbImage::from_fn(70, 50, |x, y| {
            image::Rgb([(x * 3) as u8, (y * 5) as u8, (x * y) as u8])
        });
        let bbox: NormBox = "10,20,63,57".parse().expect("a box");
        let Reader::Vlm(model) = &reader else {
            panic!("a VLM")
        };
        let full = model.encode(&page).expect("full image");
        let boxes = [Some(bbox), None];
        let said = model.answer(&full, &boxes, "Q?", 6).expect("answers");
        let table = "[rewards]\naccuracy = 0.8\nformat = 0.2\ntool_bonus = 1.2\nlikelihood = 0.0\nvalidity = 0.0\n\
                     metric = \"anls\"\n[reward_model]\nmax_tokens = 6";
        let config = config(table);
        let rewards = Rewards::new(&config, Some(&reader));
        let of = |answer: &str| {
            let sample: Sample = serde_json::from_value(serde_json::json!({
                "id": "a", "image": "a.png", "question": "Q?", "answers": [answer], "width": 70, "height": 50,
            }))
            .expect("a sample");
            let rollouts = [
                (Some(bbox), "[10, 20, 63, 57]."),
                (None, "Not needed."),
                (None, "Hm."),
            ];
            let found = rewards.of(&sample, &page, &page, &rollouts, false);
            let found = found.expect("rewards");
            let of = |name: &'static str| [0, 1, 2].map(|i| found[i].parts[name]);
            let totals = [0, 1, 2].map(|i| found[i].total);
            (of("accuracy"), of("format"), of("tool_bonus"), totals)
        };
        assert!(!said[0].is_empty(), "the tiny model says something");
        let (accuracy, format, bonus, totals) = of(&said[0]);
        assert_eq!(
            (accuracy[0], format, bonus),
            (1.0, [1.0, 1.0, 0.0], [1.0, 0.0, 0.0])
        );
        assert!((totals[0] - 2.2).abs() < 1e-9, "{totals:?}");
        let (accuracy, _, bonus, totals) = of("something that nobody would ever say 1234567890");
        assert_eq!((accuracy[0], bonus), (0.0, [0.0; 3]));
        assert!(
            (totals[0] - 0.2).abs() < 1e-9 && totals[2] == 0.0,
            "{totals:?}"
        );
    }

    #[test]
    fn a_sample_without_what_a_reward_needs_is_named() {
        let error = |rewards: &str, nested: &str| {
            let found = Rewards::check(&config(rewards), &sample(nested));
            format!("{:#}", found.expect_err("an error"))
        };
        let bare = error("[[rewards]]\nkind = \"grounding\"", "");
        assert!(
            bare.contains("sample \"a\": it has no true box, which grounding needs"),
            "{bare}"
        );
        let bare = error("[[rewards]]\nkind = \"likelihood\"", "");
        assert!(
            bare.contains("sample \"a\": it has no answer, which likelihood needs"),
            "{bare}"
        );
        let wrong = ", \"nested\": [[0, 0, 50, 50], [10, 20, 30, 40]]";
        let wrong = error("[[rewards]]\nkind = \"iou\"", wrong);
        assert!(wrong.contains("does not lie inside"), "{wrong}");
        Rewards::check(&config("[[rewards]]\nkind = \"validity\""), &sample(""))
            .expect("it needs nothing");
    }
}
