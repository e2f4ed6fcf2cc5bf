//! The module with burn (`web/trainable`): what needs burn, into `dist/trainable`.

use std::path::Path;

use anyhow::Result;

use crate::copy;
use crate::page::{LATER, Setup};

/// Builds the module. It is optimised by the compiler alone: `wasm-opt` would take minutes for 30 MB.
pub fn build(setup: &Setup, dist: &Path) -> Result<()> {
    let module = setup.compile("cropvlm-trainable", LATER, "trainable")?;
    setup.bind(&module, &dist.join("trainable"), &[])?;
    copy::guard(dist, "trainable/trainable.js")
}
