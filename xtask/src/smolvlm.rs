//! SmolVLM (`web/smolvlm`): with WebGPU and one thread into `dist/smolvlm`, and with threads into `dist/smolvlm-threads`.

use std::path::Path;

use anyhow::Result;

use crate::copy;
use crate::page::{LATER, Setup};
use crate::threads::{self, Module};

/// With threads. q8 weights of 256 million take 0.3 GB, those of 500 million 0.6.
const THREADS: Module = Module {
    package: "cropvlm-smolvlm",
    bin: "smolvlm",
    features: "threads",
    most_memory: 2 << 30,
    folder: "smolvlm-threads",
};

/// Builds both modules.
pub fn build(setup: &Setup, dist: &Path) -> Result<()> {
    let module = setup.compile("cropvlm-smolvlm", LATER, "smolvlm")?;
    setup.bind(&module, &dist.join("smolvlm"), &[])?;
    copy::guard(dist, "smolvlm/smolvlm.js")?;
    threads::build(&THREADS, setup, LATER, dist)?;
    Ok(())
}
