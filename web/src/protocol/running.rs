//! How far the model is, on which device, and why there.

use serde::{Deserialize, Serialize};

/// How far the model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Fetching its files.
    Download {
        /// Bytes so far.
        received: f64,
        /// Bytes in all, where the server says.
        total: Option<f64>,
    },
    /// Building the network and moving its weights to the device.
    Upload,
    /// A graphics card's first run, which compiles its shaders.
    WarmUp,
    /// Ready, on this device. Sent again when the device changes.
    Ready(Running),
    /// It could not be made ready; a click on "Propose crop" tries again.
    Failed {
        /// A sentence for a person.
        why: String,
    },
}

/// Which device runs, and why this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The device.
    pub device: DeviceKind,
    /// Threads that compute, on the CPU.
    pub threads: u32,
    /// Why this one.
    pub why: Why,
    /// Side of a text policy's tile, pixels; a map policy has none.
    pub tile: Option<u32>,
    /// The box is the training-free one: the weights were never taught to write boxes.
    pub training_free: bool,
}

/// Why a device was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Why {
    /// The person asked for it in the address.
    Asked,
    /// This browser has no WebGPU, or no adapter.
    NoWebGpu,
    /// WebGPU is there; what it needs is fetched only when somebody asks for it.
    NotAsked,
    /// WebGPU is there and is being measured in the background.
    Measuring,
    /// Both were measured, milliseconds a proposal.
    Faster {
        /// Of the device that runs.
        own_ms: f64,
        /// Of the device that was not chosen.
        other_ms: f64,
    },
    /// WebGPU is there but failed, with this reason.
    WebGpuFailed(String),
}

/// What can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// wasm with SIMD.
    Cpu,
    /// The graphics processor, or a program that stands in for one.
    WebGpu,
}

/// What the person asked for with `?device=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceChoice {
    /// Nothing: the CPU, which needs no second module.
    #[default]
    Nothing,
    /// Whatever is measured to be faster.
    Auto,
    /// The CPU.
    Cpu,
    /// WebGPU, and the CPU only where it fails.
    WebGpu,
}

impl DeviceChoice {
    /// `auto`, `cpu` or `webgpu`.
    pub fn from_name(name: &str) -> Option<DeviceChoice> {
        match name {
            "auto" => Some(DeviceChoice::Auto),
            "cpu" => Some(DeviceChoice::Cpu),
            "webgpu" => Some(DeviceChoice::WebGpu),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        assert_eq!(
            DeviceChoice::from_name("webgpu"),
            Some(DeviceChoice::WebGpu)
        );
        assert_eq!(DeviceChoice::from_name("gpu"), None);
    }
}
