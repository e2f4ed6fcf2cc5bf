//! The part of `eval` that asks a target VLM: its options, and the whole way from samples to a table.

use std::path::PathBuf;

use anyhow::{Result, bail};
use grounding::NormBox;
use serde_json::Value;

use super::ask::{Asking, End};
use super::conditions::{self, Condition};
use super::items::Items;
use super::summary;
use crate::data::DataSet;
use crate::vlm::Target;

/// What the target is shown, and where its answers go.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Target VLM")]
pub struct SweepArgs {
    /// Pictures that come with a question [default: full,full+crop,crop,full+true]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    conditions: Vec<Condition>,
    /// Area factors by which crops grow around their centre [default: 1]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    expand: Vec<f32>,
    /// Longest edges of the pictures that the target sees, in pixels [default: a model folder's one
    /// tile; the original for a provider]
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = clap::value_parser!(u32).range(1..))]
    target_longest_edge: Vec<u32>,
    /// Answers, one a line; questions that it answers already are not asked again
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
}

impl SweepArgs {
    /// Refuses what does not go together.
    ///
    /// # Errors
    /// Options about a target that is not named; conditions that need boxes where there are none.
    pub fn check(&self, target: bool, boxes: bool) -> Result<()> {
        let swept = [
            ("--conditions", !self.conditions.is_empty()),
            ("--expand", !self.expand.is_empty()),
            (
                "--target-longest-edge",
                !self.target_longest_edge.is_empty(),
            ),
            ("--items", self.items.is_some()),
        ];
        if !target && let Some((name, _)) = swept.iter().find(|(_, given)| *given) {
            bail!("{name} is about a target VLM: name one with --target or --target-url");
        }
        let needed = self.conditions(boxes).into_iter().find(|c| c.needs_box());
        match (target, boxes, needed) {
            (_, true, _) | (true, false, None) => Ok(()),
            (false, false, _) => {
                bail!("nothing to measure: name a policy with --model, or boxes with --boxes")
            }
            (true, false, Some(condition)) => bail!(
                "--conditions {} needs boxes: name a policy with --model, or boxes with --boxes",
                condition.name()
            ),
        }
    }

    /// Conditions that are asked for, or the usual ones as far as there are boxes.
    fn conditions(&self, boxes: bool) -> Vec<Condition> {
        let usual = [
            Condition::Full,
            Condition::FullCrop,
            Condition::Crop,
            Condition::FullTrue,
        ];
        if self.conditions.is_empty() {
            let usual = usual.into_iter();
            return usual.filter(|c| boxes || !c.needs_box()).collect();
        }
        self.conditions.clone()
    }

    /// Asks the target every question in every cell; its summary as JSON, and as sentences with a Markdown table.
    ///
    /// # Errors
    /// As [`Asking::run`]; an expansion below 1, a file of answers that cannot be used; a target that answered nothing.
    pub fn ask(
        &self,
        target: &Target,
        set: &DataSet,
        boxes: Vec<Option<NormBox>>,
        has_boxes: bool,
    ) -> Result<(Value, String, End)> {
        let (samples, boxes): (Vec<_>, Vec<_>) = set
            .samples
            .iter()
            .cloned()
            .zip(boxes)
            .filter(|(sample, _)| !sample.answers.is_empty())
            .unzip();
        match set.samples.len() - samples.len() {
            0 => {}
            n => eprintln!("{n} questions have no accepted answers and are left out"),
        }
        let one = [1.0];
        let expand: &[f32] = match self.expand.as_slice() {
            [] => &one,
            factors => factors,
        };
        let conditions = self.conditions(has_boxes);
        let asking = Asking {
            samples: &samples,
            boxes: &boxes,
            cells: &conditions::cells(&conditions, expand, &self.target_longest_edge)?,
            target: target.name(),
            items: &Items::open(self.items.as_deref())?,
            file: &|image| set.source(image)?.bytes(),
        };
        let end = asking.run(target)?;
        if matches!(end, End::Complete)
            && let Some((failed, reason)) = summary::all_failed(&asking)
        {
            bail!(
                "{}: none of {failed} questions was answered; the commonest reason: {reason}",
                target.name()
            );
        }
        let rows = summary::rows(&asking);
        Ok((
            summary::json(target.name(), &rows)?,
            format!(
                "{}\n\n{}",
                summary::sentences(target.name(), &rows),
                summary::markdown(target.name(), &rows)
            ),
            end,
        ))
    }
}
