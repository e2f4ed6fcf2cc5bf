//! The two things that SFT can teach: where to look (`boxes`) and what to answer (`answer`).

use anyhow::Result;
use policy::Policy;
use policy::map::loss::{Loss, Targets};

use super::answer::{AnswerBatch, Answers};
use super::batch::Batches;
use super::config::{SftConfig, Task};
use crate::data::Skipped;

/// Everything that a task learns from.
pub enum Work {
    /// Pages with questions and true boxes.
    Boxes(Batches),
    /// Questions with answers.
    Answers(Answers),
}

/// What one step learns from.
pub enum Batch {
    /// Views of pages.
    Boxes(Targets),
    /// Full images, crops, answers.
    Answers(AnswerBatch),
}

impl Work {
    /// Reads the sources of a configuration, and says what is there.
    ///
    /// # Errors
    /// Files that cannot be read; nothing to learn from.
    pub fn open(config: &SftConfig, policy: &Policy) -> Result<Self> {
        Ok(match config.task {
            Task::Boxes => {
                let batches = Batches::open(config, policy)?;
                eprintln!(
                    "{} pages, {} questions, {} printed lines",
                    batches.pages(),
                    batches.questions(),
                    batches.lines()
                );
                Self::Boxes(batches)
            }
            Task::Answer => {
                let answers = Answers::open(config, policy)?;
                eprintln!("{} questions with answers", answers.questions());
                Self::Answers(answers)
            }
        })
    }

    /// What could not be used so far.
    pub fn skipped(&self) -> &Skipped {
        match self {
            Self::Boxes(batches) => batches.skipped(),
            Self::Answers(answers) => answers.skipped(),
        }
    }

    /// The batch of a step; the same for the same seed and step.
    ///
    /// # Errors
    /// Too many pictures that cannot be read.
    pub fn make(&self, config: &SftConfig, step: u64) -> Result<Batch> {
        Ok(match self {
            Self::Boxes(batches) => Batch::Boxes(batches.make(config, step)?),
            Self::Answers(answers) => Batch::Answers(answers.make(config, step)?),
        })
    }
}

impl Batch {
    /// What is asked.
    pub fn questions(&self) -> &[String] {
        match self {
            Self::Boxes(targets) => &targets.questions,
            Self::Answers(batch) => batch.questions(),
        }
    }

    /// What is minimised.
    ///
    /// # Errors
    /// A policy that cannot be taught this.
    pub fn loss(&self, config: &SftConfig, policy: &Policy) -> Result<Loss> {
        match self {
            Self::Boxes(targets) => Ok(pollster::block_on(policy.sft_loss(targets, config.dense))?),
            Self::Answers(batch) => batch.loss(&config.answer, policy),
        }
    }
}
