//! Who else proposes boxes, beside the policy: the best fixed box of each kind of question, a search, and a reader's
//! attention without any training (ViCrop). All of them, and the true boxes, stand in one
//! table, and a target may be shown the crops of each.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use grounding::metrics::Summary;
use grounding::prompt::answer_prompt;
use grounding::{Case, FixedBoxes, NormBox, Sample};
use pollster::block_on;
use serde_json::{Value, json};

use super::words::percent;
use crate::counting::Counting;
use crate::data::{DataSet, by_picture};
use crate::device::DeviceKind;
use crate::model::ModelArgs;
use crate::stop::Stop;

/// Proposers beside the policy.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Other proposers")]
pub struct ProposerArgs {
    /// Training-free boxes: where this text model looks (relative attention, ViCrop), a Hugging Face folder of an Idefics3
    /// model
    #[arg(long, value_name = "DIR")]
    pub attention: Option<PathBuf>,
    /// Searched boxes of the same questions, as `cropvlm boxes --search` writes them
    #[arg(long, value_name = "FILE")]
    pub searched: Option<PathBuf>,
}

/// The boxes of one question.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Boxes {
    /// The policy's, or that of a file.
    pub proposed: Option<NormBox>,
    /// The best constant one for its kind.
    pub fixed: Option<NormBox>,
    /// What a search found.
    pub searched: Option<NormBox>,
    /// Where a text model looks.
    pub attention: Option<NormBox>,
}

impl ProposerArgs {
    /// Adds the boxes of those that are named, and fixed ones of the policy's size where it has proposed any.
    ///
    /// # Errors
    /// A model or a file that cannot be used; Ctrl-C.
    pub fn add(
        &self,
        set: &DataSet,
        device: DeviceKind,
        stop: &Stop,
        proposed: Option<Vec<Option<NormBox>>>,
    ) -> Result<Vec<Boxes>> {
        let samples = &set.samples;
        let mut boxes = vec![Boxes::default(); samples.len()];
        if let Some(proposed) = proposed {
            let size = Summary::over(samples.iter().zip(proposed.iter().copied())).size;
            let fixed = FixedBoxes::fit(samples, size);
            for ((boxes, sample), proposed) in boxes.iter_mut().zip(samples).zip(proposed) {
                boxes.proposed = proposed;
                boxes.fixed = fixed.get(&sample.kind);
            }
        }
        if let Some(file) = &self.searched {
            let found = DataSet::open(file, None, None)?;
            let found: HashMap<&str, &Sample> =
                found.samples.iter().map(|s| (s.id.as_str(), s)).collect();
            for (boxes, sample) in boxes.iter_mut().zip(samples) {
                let line = found.get(sample.id.as_str());
                boxes.searched = line.and_then(|line| line.evidence().first().copied());
            }
        }
        if let Some(dir) = &self.attention {
            for (boxes, found) in boxes.iter_mut().zip(looked(dir, set, device, stop)?) {
                boxes.attention = Some(found);
            }
        }
        Ok(boxes)
    }

    /// Whether there is more than the policy to compare.
    pub fn is_given(&self) -> bool {
        self.attention.is_some() || self.searched.is_some()
    }
}

/// Training-free boxes, in the order of the questions. The model sees a picture as one tile, and is asked as a reader is.
fn looked(
    dir: &std::path::Path,
    set: &DataSet,
    device: DeviceKind,
    stop: &Stop,
) -> Result<Vec<NormBox>> {
    let folder = ModelArgs {
        model: dir.to_path_buf(),
        adapter: None,
    };
    let model = folder.text_model("eval --attention", &device.open()?)?;
    let mut found: HashMap<&str, NormBox> = HashMap::new();
    let counting = Counting::to(set.samples.len(), "training-free boxes");
    for samples in by_picture(&set.samples) {
        let Some(first) = samples.first() else {
            continue;
        };
        let picture = set.picture(&first.image)?;
        let tiles = model.pictures(&[&picture], None)?;
        let scene = model.read_pictures(&tiles, &model.encode(&tiles))?;
        let generic = block_on(policy::generic_attention(&model, &scene))?;
        for sample in samples {
            if stop.raised() {
                return Err(stop.interrupted("stopped; nothing was measured yet"));
            }
            let asked = answer_prompt(&sample.question, Case::default());
            let looked = policy::relative_attention(&model, &scene, &asked, &generic);
            let looked = block_on(looked).with_context(|| format!("question {}", sample.id))?;
            found.insert(&sample.id, looked.bbox);
            counting.done(found.len());
        }
    }
    let each = set
        .samples
        .iter()
        .map(|s| found.get(s.id.as_str()).copied());
    each.collect::<Option<Vec<_>>>()
        .context("a question without a training-free box")
}

/// What a proposer is called, and its box for a sample.
type Named<'a> = (&'a str, &'a dyn Fn(usize) -> Option<NormBox>);

/// Box metrics of every proposer that has proposed something, and of the true boxes; `first` is what the policy's, or those
/// of a file, are called.
pub fn report(samples: &[Sample], boxes: &[Boxes], first: &str) -> Value {
    let truth = |sample: &Sample| sample.evidence().first().copied();
    let of: [Named; 5] = [
        (first, &|i| boxes[i].proposed),
        ("searched", &|i| boxes[i].searched),
        ("fixed", &|i| boxes[i].fixed),
        ("training-free", &|i| boxes[i].attention),
        ("true", &|i| truth(&samples[i])),
    ];
    let rows = of.iter().filter_map(|(name, bbox)| {
        let found: Vec<Option<NormBox>> = (0..samples.len()).map(bbox).collect();
        if found.iter().all(Option::is_none) {
            return None;
        }
        let s = Summary::over(samples.iter().zip(found));
        Some(json!({
            "name": name, "n": s.n, "valid": s.valid, "iou": s.iou, "recall": s.recall,
            "full_recall": s.full_recall, "size": s.size,
        }))
    });
    rows.collect()
}

/// The same as a Markdown table.
pub fn markdown(report: &Value) -> String {
    let mut text =
        "| boxes | n | wholly inside | recall | IoU | size |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for row in report.as_array().into_iter().flatten() {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            row["name"].as_str().unwrap_or_default(),
            row["n"],
            percent(&row["full_recall"]),
            percent(&row["recall"]),
            percent(&row["iou"]),
            percent(&row["size"]),
        ));
    }
    text
}
