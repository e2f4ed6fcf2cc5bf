//! The part of `eval` that asks a target VLM: its options, and the whole way from samples to a table.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::Value;

use super::ask::{Asking, End};
use super::conditions::{self, Condition};
use super::items::Items;
use super::proposers::{Boxes, ProposerArgs};
use super::{diagnostic, summary};
use crate::data::DataSet;
use crate::vlm::Target;

/// What the target is shown, and where its answers go.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Target VLM")]
pub struct SweepArgs {
    /// Pictures that come with a question; true, noise and blank are short for full+true, full+noise and full+blank
    /// [default: full,full+crop,crop,full+true, and full+searched, full+fixed and full+attention with --searched or
    /// --attention]
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
    pub fn check(&self, target: bool, boxes: bool, others: &ProposerArgs) -> Result<()> {
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
        let conditions = self.conditions(boxes, others);
        let lacks = |condition: Condition, given: bool| conditions.contains(&condition) && !given;
        if lacks(Condition::FullSearched, others.searched.is_some()) {
            bail!("--conditions full+searched needs searched boxes: name them with --searched");
        }
        if lacks(Condition::FullAttention, others.attention.is_some()) {
            bail!(
                "--conditions full+attention needs a text model that looks: name it with --attention"
            );
        }
        let needed = conditions.into_iter().find(|c| c.needs_box());
        match (target, boxes, needed) {
            (_, true, _) | (true, false, None) => Ok(()),
            (false, false, _) if others.is_given() => Ok(()),
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
    fn conditions(&self, boxes: bool, others: &ProposerArgs) -> Vec<Condition> {
        if !self.conditions.is_empty() {
            return self.conditions.clone();
        }
        let usual = [
            (Condition::Full, true),
            (Condition::FullCrop, boxes),
            (Condition::Crop, boxes),
            (Condition::FullTrue, true),
            (Condition::FullFixed, boxes && others.is_given()),
            (Condition::FullSearched, others.searched.is_some()),
            (Condition::FullAttention, others.attention.is_some()),
        ];
        let there = usual.into_iter().filter(|(_, there)| *there);
        there.map(|(condition, _)| condition).collect()
    }

    /// Asks the target every question in every cell; its summary as JSON, and as sentences with a Markdown table.
    ///
    /// # Errors
    /// As [`Asking::run`]; an expansion below 1, a file of answers that cannot be used; a target that answered nothing.
    pub fn ask(
        &self,
        target: &Target,
        set: &DataSet,
        boxes: Vec<Boxes>,
        has_boxes: bool,
        others: &ProposerArgs,
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
        let conditions = self.conditions(has_boxes, others);
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
        let crops = diagnostic::diagnostics(&asking);
        let parts = [
            summary::sentences(target.name(), &rows),
            summary::markdown(target.name(), &rows),
            diagnostic::markdown(&crops),
        ];
        let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
        Ok((
            summary::json(target.name(), &rows, &crops)?,
            format!("{}\n", parts.join("\n\n").trim_end()),
            end,
        ))
    }
}
