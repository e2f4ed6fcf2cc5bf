//! `[rewards]` and `[[rewards]]`: which rewards there are, by name, and what each counts.

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A reward that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewardKind {
    /// log p(answer) of the reward model, given full image and crop, in nats.
    Likelihood,
    /// Score of the reward model's own answer, 0 to 1.
    Accuracy,
    /// 1 for a valid box, 0.25 for `Not needed.`, else 0.
    Validity,
    /// Share of the smallest true box inside the box ([`grounding::reward::grounding`]).
    Coverage,
    /// The largest IoU with a true box, where 90 % of the smallest are inside; else 0.
    Iou,
    /// 1 less the mean difference of the edges to the closest true box.
    Distance,
    /// `iou` and `distance` added up: LFPC's grounding reward.
    Grounding,
    /// 1 for a legal completion, a valid box or `Not needed.`, else 0 (LFPC).
    Format,
    /// `accuracy` where the completion has a box, else 0: correct and with a crop (LFPC).
    ToolBonus,
}

impl RewardKind {
    /// All there are, in the order in which they are added up.
    pub const ALL: [Self; 9] = [
        Self::Likelihood,
        Self::Accuracy,
        Self::Validity,
        Self::Coverage,
        Self::Iou,
        Self::Distance,
        Self::Grounding,
        Self::Format,
        Self::ToolBonus,
    ];

    /// What it is called in configurations and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Likelihood => "likelihood",
            Self::Accuracy => "accuracy",
            Self::Validity => "validity",
            Self::Coverage => "coverage",
            Self::Iou => "iou",
            Self::Distance => "distance",
            Self::Grounding => "grounding",
            Self::Format => "format",
            Self::ToolBonus => "tool_bonus",
        }
    }
}

/// How answers are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// VQA accuracy where there are ten human answers, else ANLS: as in the reference.
    #[default]
    Auto,
    /// VQA accuracy.
    VqaAccuracy,
    /// ANLS at threshold 0.5.
    Anls,
}

/// Weights of the rewards, which are added up. A reward of weight 0 is not computed.
///
/// In a file either a list, `[[rewards]]` with `kind` and `weight` (and `metric`, for accuracy), where what is not listed
/// counts 0; or a table `[rewards]` of weights by kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RewardConfig {
    /// log p(answer) of the reward model, given full image and crop, in nats.
    pub likelihood: f64,
    /// Score of the reward model's own answer, 0 to 1.
    pub accuracy: f64,
    /// 1 for a valid box, 0.25 for `Not needed.`, else 0.
    pub validity: f64,
    /// Share of the smallest true box inside the box.
    #[serde(skip_serializing_if = "is_zero")]
    pub coverage: f64,
    /// The largest IoU with a true box, where the smallest is covered.
    #[serde(skip_serializing_if = "is_zero")]
    pub iou: f64,
    /// How close the edges are to those of a true box.
    #[serde(skip_serializing_if = "is_zero")]
    pub distance: f64,
    /// `iou` and `distance` added up.
    #[serde(skip_serializing_if = "is_zero")]
    pub grounding: f64,
    /// 1 for a legal completion, a valid box or `Not needed.`, else 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub format: f64,
    /// `accuracy` where the completion has a box, else 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub tool_bonus: f64,
    /// How answers are scored.
    pub metric: Metric,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(weight: &f64) -> bool {
    *weight == 0.0
}

impl Default for RewardConfig {
    fn default() -> Self {
        Self {
            likelihood: 1.0,
            validity: 1.0,
            ..Self::none()
        }
    }
}

impl RewardConfig {
    /// No reward at all.
    fn none() -> Self {
        Self {
            likelihood: 0.0,
            accuracy: 0.0,
            validity: 0.0,
            coverage: 0.0,
            iou: 0.0,
            distance: 0.0,
            grounding: 0.0,
            format: 0.0,
            tool_bonus: 0.0,
            metric: Metric::Auto,
        }
    }

    /// What a reward counts.
    pub fn weight(&self, kind: RewardKind) -> f64 {
        match kind {
            RewardKind::Likelihood => self.likelihood,
            RewardKind::Accuracy => self.accuracy,
            RewardKind::Validity => self.validity,
            RewardKind::Coverage => self.coverage,
            RewardKind::Iou => self.iou,
            RewardKind::Distance => self.distance,
            RewardKind::Grounding => self.grounding,
            RewardKind::Format => self.format,
            RewardKind::ToolBonus => self.tool_bonus,
        }
    }

    fn weight_mut(&mut self, kind: RewardKind) -> &mut f64 {
        match kind {
            RewardKind::Likelihood => &mut self.likelihood,
            RewardKind::Accuracy => &mut self.accuracy,
            RewardKind::Validity => &mut self.validity,
            RewardKind::Coverage => &mut self.coverage,
            RewardKind::Iou => &mut self.iou,
            RewardKind::Distance => &mut self.distance,
            RewardKind::Grounding => &mut self.grounding,
            RewardKind::Format => &mut self.format,
            RewardKind::ToolBonus => &mut self.tool_bonus,
        }
    }

    /// From the entries of a list.
    fn listed(entries: Vec<Entry>) -> Result<Self, String> {
        let mut config = Self::none();
        let mut known: Vec<RewardKind> = Vec::new();
        for entry in entries {
            let found = RewardKind::ALL.into_iter().find(|k| k.name() == entry.kind);
            let Some(kind) = found else {
                let all = RewardKind::ALL.map(RewardKind::name).join(", ");
                return Err(format!(
                    "[[rewards]]: there is no kind \"{}\"; there are {all}",
                    entry.kind
                ));
            };
            if known.contains(&kind) {
                return Err(format!(
                    "[[rewards]]: kind \"{}\" stands there twice",
                    entry.kind
                ));
            }
            known.push(kind);
            *config.weight_mut(kind) = entry.weight;
            match (entry.metric, kind) {
                (None, _) => {}
                (Some(metric), RewardKind::Accuracy) => config.metric = metric,
                (Some(_), _) => {
                    return Err(format!(
                        "[[rewards]]: {} has no metric; accuracy has",
                        entry.kind
                    ));
                }
            }
        }
        Ok(config)
    }
}

/// An entry of `[[rewards]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: String,
    #[serde(default = "one")]
    weight: f64,
    metric: Option<Metric>,
}

fn one() -> f64 {
    1.0
}

/// `[rewards]`: a key that is left out keeps its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    likelihood: Option<f64>,
    accuracy: Option<f64>,
    validity: Option<f64>,
    coverage: Option<f64>,
    iou: Option<f64>,
    distance: Option<f64>,
    grounding: Option<f64>,
    format: Option<f64>,
    tool_bonus: Option<f64>,
    metric: Option<Metric>,
}

impl From<Table> for RewardConfig {
    fn from(table: Table) -> Self {
        let rest = Self::default();
        Self {
            likelihood: table.likelihood.unwrap_or(rest.likelihood),
            accuracy: table.accuracy.unwrap_or(rest.accuracy),
            validity: table.validity.unwrap_or(rest.validity),
            coverage: table.coverage.unwrap_or(rest.coverage),
            iou: table.iou.unwrap_or(rest.iou),
            distance: table.distance.unwrap_or(rest.distance),
            grounding: table.grounding.unwrap_or(rest.grounding),
            format: table.format.unwrap_or(rest.format),
            tool_bonus: table.tool_bonus.unwrap_or(rest.tool_bonus),
            metric: table.metric.unwrap_or(rest.metric),
        }
    }
}

impl<'de> Deserialize<'de> for RewardConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RewardConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("[[rewards]] with kind and weight, or a table [rewards] of weights")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RewardConfig, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(RewardConfig::from)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RewardConfig, A::Error> {
                let entries = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                RewardConfig::listed(entries).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpo::GrpoConfig;
    use crate::train::read_settings;

    fn read(text: &str, set: &[&str]) -> anyhow::Result<RewardConfig> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("grpo.toml");
        std::fs::write(&path, text)?;
        let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
        let config: GrpoConfig = read_settings(&path, &set)?;
        Ok(config.rewards)
    }

    #[test]
    fn a_list_and_a_table_say_the_same() {
        let list = "[[rewards]]\nkind = \"likelihood\"\n[[rewards]]\nkind = \"accuracy\"\nweight = 0.5\nmetric = \"anls\"\n\
                    [[rewards]]\nkind = \"grounding\"\nweight = 2";
        let table = "[rewards]\nvalidity = 0\naccuracy = 0.5\nmetric = \"anls\"\ngrounding = 2.0";
        let found = read(list, &[]).expect("a list");
        assert_eq!(found, read(table, &[]).expect("a table"));
        assert_eq!(
            (found.likelihood, found.validity, found.grounding),
            (1.0, 0.0, 2.0)
        );
        assert_eq!(found.metric, Metric::Anls);
        // What is left out of a table keeps its default, also where --set names another key.
        let found = read("[rewards]\naccuracy = 1.0", &["rewards.likelihood=0"]).expect("a table");
        assert_eq!(
            (found.likelihood, found.accuracy, found.validity),
            (0.0, 1.0, 1.0)
        );
        assert_eq!(read("", &[]).expect("nothing"), RewardConfig::default());
        // What is written into a run's folder reads back.
        let text = toml::to_string(&found).expect("toml");
        assert_eq!(toml::from_str::<RewardConfig>(&text).expect("toml"), found);
    }

    #[test]
    fn what_is_no_reward_is_named() {
        let error =
            |text: &str, set: &[&str]| format!("{:#}", read(text, set).expect_err("an error"));
        let unknown = error("[[rewards]]\nkind = \"beauty\"", &[]);
        let all = "there are likelihood, accuracy, validity, coverage, iou, distance, grounding, format, tool_bonus";
        assert!(
            unknown.contains("\"beauty\"") && unknown.contains(all),
            "{unknown}"
        );
        let twice = "[[rewards]]\nkind = \"iou\"\n[[rewards]]\nkind = \"iou\"";
        assert!(error(twice, &[]).contains("\"iou\" stands there twice"));
        let metric = error("[[rewards]]\nkind = \"iou\"\nmetric = \"anls\"", &[]);
        assert!(metric.contains("iou has no metric"), "{metric}");
        assert!(error("[rewards]\nbeauty = 1", &[]).contains("unknown field `beauty`"));
        assert!(error("[[rewards]]\nname = \"iou\"", &[]).contains("unknown field `name`"));
        assert!(error("rewards = 1", &[]).contains("[[rewards]] with kind and weight"));
        let listed = error("[[rewards]]\nkind = \"iou\"", &["rewards.iou=2"]);
        assert!(listed.contains("rewards is a list"), "{listed}");
    }
}
