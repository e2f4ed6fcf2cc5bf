//! Finds an adapter natively; its face is that of `browser.rs`.

use wgpu::{
    Backends, DeviceType, Instance, InstanceDescriptor, PowerPreference, RequestAdapterOptions,
};

use super::device::{Found, GpuError};

/// The fastest adapter that there is through some interfaces; a software one where there is no other.
///
/// # Errors
/// [`GpuError::NoAdapter`].
pub(super) async fn find(backends: Backends) -> Result<Found, GpuError> {
    let instance = Instance::new(InstanceDescriptor {
        backends,
        ..InstanceDescriptor::new_without_display_handle()
    });
    let options = RequestAdapterOptions {
        power_preference: PowerPreference::HighPerformance,
        ..RequestAdapterOptions::default()
    };
    let adapter = instance.request_adapter(&options).await;
    let adapter = adapter.map_err(|_| GpuError::NoAdapter)?;
    let info = adapter.get_info();
    Ok(Found {
        is_software: info.device_type == DeviceType::Cpu,
        name: info.name,
        adapter,
    })
}
