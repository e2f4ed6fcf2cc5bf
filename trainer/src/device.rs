//! Which device a command computes on.

use anyhow::{Result, bail};
use burn::tensor::Device;

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

impl DeviceKind {
    /// Opens the device.
    ///
    /// # Errors
    /// A device that this program was not built for, or that the machine does not have.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Wgpu => wgpu(),
            Self::Cuda => cuda(),
        }
    }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device> {
    use burn::tensor::DeviceType;
    // Asking first is clean; opening a device that is not there panics.
    let found = Device::enumerate(DeviceType::Wgpu).into_vec();
    match found.into_iter().next() {
        Some(device) => Ok(device),
        None => bail!("no graphics adapter was found: install its driver, or use --device cpu"),
    }
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device> {
    bail!("this build has no wgpu: build with `--features wgpu`, or use --device cpu")
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device> {
    use burn::tensor::DeviceType;
    let found = Device::enumerate(DeviceType::Cuda).into_vec();
    match found.into_iter().next() {
        Some(device) => Ok(device),
        None => bail!(
            "no NVIDIA card was found: install its driver, or use --device wgpu or --device cpu"
        ),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device> {
    bail!(
        "this build has no CUDA: build with `--features cuda`, or use --device wgpu for any \
         graphics card, or --device cpu"
    )
}
