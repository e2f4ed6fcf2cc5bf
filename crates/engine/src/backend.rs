//! Where the network runs, and why there.

use std::fmt::{self, Display};

#[cfg(feature = "gpu")]
use kernels::gpu::GpuError;

use crate::Device;

/// Where the network runs, and why there.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// `cpu` or `wgpu`.
    pub name: &'static str,
    /// Name of the graphics card.
    pub adapter: Option<String>,
    /// Whether it is not the kind of device that was asked for: the processor in place of a graphics card, or a software
    /// adapter, which is the processor imitating one.
    pub is_fallback: bool,
    /// Whether convolutions multiply in f16: on graphics cards that have it, if it is precise enough; not on software adapters.
    pub is_half: bool,
    /// Why this one.
    pub reason: Reason,
}

/// Why the network runs where it runs. Shown, it is half a sentence without a full stop.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// This device was asked for.
    AskedFor,
    /// There is no other device in this build.
    Fastest,
    /// This build knows no graphics cards.
    NotBuilt,
    /// Both encoded a canvas.
    #[cfg(feature = "gpu")]
    Measured {
        /// Its pixels.
        pixels: usize,
        /// Milliseconds on the graphics card.
        gpu: f64,
        /// Milliseconds on the processor.
        cpu: f64,
    },
    /// The graphics card failed at an earlier picture: what it said.
    Failed(String),
    /// There is no graphics card, or one that must not be used.
    #[cfg(feature = "gpu")]
    Refused(GpuError),
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AskedFor => f.write_str("asked for"),
            Self::Fastest => f.write_str("fastest"),
            Self::Failed(why) => f.write_str(why),
            Self::NotBuilt => f.write_str("no graphics card is used by this build"),
            #[cfg(feature = "gpu")]
            Self::Measured { pixels, gpu, cpu } => write!(
                f,
                "{pixels} pixels take {gpu:.1} ms on the graphics card, {cpu:.1} ms on the processor"
            ),
            #[cfg(feature = "gpu")]
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl Backend {
    /// The processor.
    pub(crate) fn cpu(asked: Device, reason: Reason) -> Self {
        Self {
            name: "cpu",
            adapter: None,
            is_fallback: asked == Device::Gpu,
            is_half: false,
            reason,
        }
    }
}
