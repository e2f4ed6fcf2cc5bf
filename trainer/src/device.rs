//! Which device a command computes on, and with which numbers.

use anyhow::{Result, bail};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use smolvlm::Precision;

/// Devices that a command can be told to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DeviceKind {
    /// The processor, with SIMD and all cores.
    Cpu,
    /// A graphics card through Vulkan, Metal or DirectX.
    Wgpu,
    /// An NVIDIA card.
    Cuda,
}

/// What a build says that knows no graphics cards but NVIDIA's.
pub const NO_WGPU: &str =
    "this build has no wgpu: build with `--features wgpu`, or use --device cpu";

impl DeviceKind {
    /// Opens the device.
    ///
    /// # Errors
    /// A device that this program was not built for, or that the machine does not have.
    pub fn open(self) -> Result<Device> {
        match self.open_many(1)?.pop() {
            Some(device) => Ok(device),
            None => bail!("no device was asked for"),
        }
    }

    /// Opens so many devices of the kind. The processor serves any number of replicas.
    ///
    /// # Errors
    /// As [`DeviceKind::open`]; fewer devices than asked for.
    pub fn open_many(self, count: usize) -> Result<Vec<Device>> {
        let (found, advice) = match self {
            Self::Cpu => (vec![Device::flex(); count], ""),
            Self::Wgpu => (wgpu()?, "install its driver, or use --device cpu"),
            Self::Cuda => (
                cuda()?,
                "install the driver, or use --device wgpu or --device cpu",
            ),
        };
        if count == 0 {
            bail!("0 devices were asked for: at least one has to compute");
        }
        if found.is_empty() {
            bail!("no {self:?} device was found: {advice}");
        }
        if found.len() < count {
            bail!(
                "{count} {self:?} devices were asked for, {} are there",
                found.len()
            );
        }
        Ok(found.into_iter().take(count).collect())
    }
}

/// Precision of weights that are not trained. Adapters, norms, log-probabilities and losses are f32
/// always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frozen {
    /// bf16 on NVIDIA cards, f32 elsewhere.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// 16 bits.
    Bf16,
}

impl Frozen {
    /// The precision on a kind of device.
    pub fn precision(self, device: DeviceKind) -> Precision {
        match (self, device) {
            (Self::Bf16, _) | (Self::Auto, DeviceKind::Cuda) => Precision::BF16,
            _ => Precision::F32,
        }
    }
}

// Asking what there is is clean; opening a device that is not there panics.

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Vec<Device>> {
    Ok(Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec())
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Vec<Device>> {
    bail!("{NO_WGPU}")
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Vec<Device>> {
    Ok(Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec())
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Vec<Device>> {
    bail!(
        "this build has no CUDA: build with `--features cuda`, or use --device wgpu for any \
         graphics card, or --device cpu"
    )
}
