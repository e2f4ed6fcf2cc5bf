//! Who calls the engine: hears what it does, lets others run meanwhile, and may stop it.

use crate::{EngineError, Result};

/// What the engine is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Read weights.
    Load,
    /// Nothing more: the model is there.
    Ready,
    /// Encode a picture.
    Encode,
    /// Answer a question about an encoded one.
    Propose,
}

impl Stage {
    /// Its name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Ready => "ready",
            Self::Encode => "encode",
            Self::Propose => "propose",
        }
    }
}

/// One step of long work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What begins now.
    pub stage: Stage,
    /// Which time it is tried for this picture, from 1: a picture that cannot be read as it lies is encoded again, turned.
    pub round: u32,
}

/// Whoever calls the engine.
pub trait Host {
    /// Hears what begins.
    fn hear(&self, event: Event) {
        let _ = event;
    }

    /// Whether to stop: asked after every [`Host::pause`].
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Lets others run: in a browser's worker, messages are heard only then.
    fn pause(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// A host that hears nothing and never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Host for Quiet {}

/// The beginning of a stage: heard, and the last chance to stop before it.
pub(crate) async fn step(host: &impl Host, stage: Stage) -> Result<()> {
    again(host, stage, 1).await
}

/// As [`step`], of a stage that is gone through several times.
pub(crate) async fn again(host: &impl Host, stage: Stage, round: u32) -> Result<()> {
    host.hear(Event { stage, round });
    rest(host).await
}

/// Lets others run within a stage, and may stop there.
pub(crate) async fn rest(host: &impl Host) -> Result<()> {
    host.pause().await;
    match host.is_cancelled() {
        true => Err(EngineError::Cancelled),
        false => Ok(()),
    }
}
