//! What a policy proposes for a question, and how long it took.

use grounding::NormBox;
use serde::{Deserialize, Serialize};

/// Where the evidence may be: one value in 0..=1 a cell, row by row, over the whole picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidenceMap {
    /// Cells in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` probabilities that the cell belongs to the evidence.
    pub values: Vec<f32>,
}

impl EvidenceMap {
    /// The probability of the likeliest cell.
    pub fn peak(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f32::max).into()
    }
}

/// Milliseconds that the parts of a proposal took. A map policy has no decode step of its own
/// beyond reading the box off the map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Resizing and normalising the picture.
    pub image: f64,
    /// Encoding the picture.
    pub vision: f64,
    /// Reading the question (text policy: the prompt).
    pub prefill: f64,
    /// From the first number to the finished box.
    pub decode: f64,
}

/// One proposed box.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proposal {
    /// The box in percent; `None` when an unconstrained completion could not be parsed.
    pub bbox: Option<NormBox>,
    /// The box as text, or what the text policy wrote instead.
    pub completion: String,
    /// Natural logarithm of the probability of this box under the distribution that proposed it.
    pub logprob: f64,
    /// Whether `completion` is a valid box.
    pub valid: bool,
    /// Time spent.
    pub timings: Timings,
    /// The evidence map, where the policy has one.
    pub evidence: Option<EvidenceMap>,
    /// How likely the evidence lies inside the box, 0 to 1, as far as the policy knows; calibrated where the model folder says
    /// how. `None` for a text policy.
    pub confidence: Option<f64>,
    /// How likely the picture holds the answer at all, 0 to 1; `None` where the model folder does not say how to tell, and for a text
    /// policy.
    pub present: Option<f64>,
    /// Degrees clockwise by which the picture has to be turned to be upright, 0 to 360, as far as the policy found out. Box
    /// and evidence are those of the picture as it lies.
    pub rotation: f64,
}

impl Proposal {
    /// What a distribution over boxes proposes for a picture under a turn.
    pub fn of(
        distribution: &crate::BoxDistribution,
        config: &crate::MapConfig,
        turn: &crate::Turn,
        timings: Timings,
    ) -> Self {
        Self::with_drawn(distribution, config, turn, timings).0
    }

    /// As [`Proposal::of`], and its box on the turned picture.
    pub(crate) fn with_drawn(
        distribution: &crate::BoxDistribution,
        config: &crate::MapConfig,
        turn: &crate::Turn,
        timings: Timings,
    ) -> (Self, NormBox) {
        let start = Clock::start();
        let (drawn, held) = distribution.best(config);
        let logprob = distribution.log_prob(drawn);
        let bbox = turn.back(drawn);
        let evidence = turn.evidence_back(EvidenceMap {
            width: distribution.width,
            height: distribution.height,
            values: distribution.evidence(),
        });
        let proposal = Self {
            bbox: Some(bbox),
            completion: bbox.completion(),
            logprob,
            valid: true,
            timings: Timings {
                decode: start.ms(),
                ..timings
            },
            evidence: Some(evidence),
            confidence: Some(config.calibrated(held)),
            present: None,
            rotation: turn.degrees(),
        };
        (proposal, drawn)
    }
}

/// Does some work and adds the milliseconds that it took.
pub fn timed<T>(clock: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Clock::start();
    let result = work();
    *clock += start.ms();
    result
}

/// Milliseconds since a start; the page's clock where there is no `Instant` (wasm32).
pub struct Clock(web_time::Instant);

impl Clock {
    /// Begins to count.
    pub fn start() -> Self {
        Self(web_time::Instant::now())
    }

    /// Milliseconds since then.
    pub fn ms(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e3
    }
}
