//! The names that cubecl-cuda imports from cubecl-llvm, without LLVM.
//!
//! cubecl-cuda has two ways to compile a kernel: CUDA C++ through NVRTC (its feature `cpp`, which
//! the `cuda` feature of this workspace's trainer turns on), and LLVM. The second one's build script
//! downloads an LLVM of several hundred megabytes, used or not. This crate takes its place: what
//! never runs says so if it is called after all.

use std::fmt;

use cubecl_core::ir::nvidia::SmArch;
use cubecl_environment::backtrace::BackTrace;
use cubecl_core::prelude::KernelDefinition;
use cubecl_runtime::compiler::{CompilationError, Compiler};
use cubecl_runtime::kernel::BufferIOAttr;

use nvptx::ptx_version::PtxVersion;

/// What LLVM would compile for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA's virtual machine.
    #[default]
    Nvptx,
}

/// Options of a compilation.
#[derive(Debug, Clone, Default)]
pub struct PlironOptions {
    /// Always `None`: an AMD architecture in the original.
    pub arch: Option<()>,
    /// The device's architecture.
    pub sm_arch: Option<SmArch>,
    /// The PTX version to emit.
    pub ptx_version: Option<PtxVersion>,
    /// Whether scalars travel in the parameter block.
    pub grid_constants: bool,
}

/// A compiled module.
#[derive(Debug, Clone)]
pub struct NvptxModule {
    /// NUL-terminated PTX.
    pub ptx: Vec<std::ffi::c_char>,
    /// Name of the kernel in it.
    pub entrypoint: String,
    /// Intermediate code.
    pub ir: String,
    /// Shared memory of a launch, in bytes.
    pub shared_memory_size: usize,
    /// How buffers are used.
    pub io: Vec<BufferIOAttr>,
}

/// What a compilation gives.
#[derive(Debug, Clone)]
pub enum PlironArtifact {
    /// Code for NVIDIA's virtual machine.
    NvptxCode(NvptxModule),
    /// Never made; the original knows further targets.
    Other,
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NvptxCode(module) => f.write_str(&module.ir),
            Self::Other => Ok(()),
        }
    }
}

/// The compiler that is not there.
#[derive(Debug, Clone, Default)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _: KernelDefinition,
        _: &Self::CompilationOptions,
    ) -> Result<Self::Representation, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this program was built without LLVM: kernels are compiled from CUDA C++".into(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

/// NVIDIA.
pub mod nvptx {
    /// Versions of its virtual machine.
    pub mod ptx_version {
        use std::fmt;

        /// A version; never chosen here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct PtxVersion(());

        impl PtxVersion {
            /// The version for a driver: none, because nothing is compiled to it.
            pub fn for_driver(_: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ptx")
            }
        }
    }
}

/// What targets share.
pub mod shared {
    /// What the backend could lower.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// A target.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA's virtual machine.
            Nvptx,
        }

        /// Takes nothing away: the backend is never chosen.
        pub fn restrict_features(_: &mut DeviceProperties, _: GpuTarget) {}
    }
}
