//! Weights in and out: Hugging Face's safetensors, one file or shards, plain numbers or blocks.
//!
//! Files are read by the `tensors` crate, one tensor at a time. Which tensors there have to be, `checklist.rs` says. Weights in
//! blocks (q8, q4) become f32 as they arrive: the network computes in f32 or bf16.

use burn::tensor::Device;
use tensors::{ModelFiles, Precision, SINGLE, WeightFile, Weights};

use crate::checklist::Checklist;
use crate::error::{Result, SmolVlmError};
use crate::model::Idefics3;
use crate::params::walk;
use crate::smolvlm::SmolVlm;

/// A model whose weight files arrive one after the other, each for as long as it is read: a browser that fetches shards
/// never holds two of them.
///
/// ```
/// # use burn::tensor::Device;
/// # use smolvlm::{Filling, Precision, SmolVlm, tiny};
/// # let device = Device::flex();
/// # let model = SmolVlm::random(&tiny::files(), 1, &device)?;
/// # let mut folder = pollster::block_on(model.save(Precision::BF16))?;
/// # let weights = folder.remove("model.safetensors").expect("weights");
/// let mut filling = Filling::new(&folder, &device)?; // no weights in `folder`
/// filling.add("model.safetensors", &weights)?;
/// let model = filling.finish()?;
/// # Ok::<(), smolvlm::SmolVlmError>(())
/// ```
pub struct Filling {
    model: SmolVlm,
    list: Checklist,
}

impl Filling {
    /// A model without weights. `files` is its folder; weights in it are left aside, its list of shards is not.
    ///
    /// # Errors
    /// As [`SmolVlm::load`], weights aside.
    pub fn new(files: &ModelFiles, device: &Device) -> Result<Self> {
        let model = SmolVlm::blank(files, device)?;
        Ok(Self {
            list: Checklist::new(files, model.config())?,
            model,
        })
    }

    /// Takes the weights of a file.
    ///
    /// # Errors
    /// Bytes that are no weights, that are cut, or that have another hash than the list of shards says; misshapen tensors,
    /// unknown number types and values that are no numbers, by name and file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.add_file(&WeightFile::of(name, bytes)?)
    }

    fn add_file(&mut self, file: &WeightFile) -> Result<()> {
        let names = self.list.check_file(file)?;
        let mut outcome = Ok(());
        walk(&mut self.model.net, |name, slot| {
            if outcome.is_ok() && names.contains(&name) {
                outcome = file.values(&name).map(|values| slot.set(values));
            }
        });
        Ok(outcome?)
    }

    /// Checks a file's hash and shapes and takes nothing of it.
    pub(crate) fn check_file(&mut self, file: &WeightFile) -> Result<()> {
        self.list.check_file(file).map(drop)
    }

    /// The model, all of its weights there.
    ///
    /// # Errors
    /// Missing and extra tensors, by name and file.
    pub fn finish(self) -> Result<SmolVlm> {
        self.list.finish()?;
        Ok(self.model)
    }
}

/// A folder's model. Every weight file is opened before anything is made, so that a missing one is told at once.
///
/// # Errors
/// As [`Filling::add`] and [`Filling::finish`]; missing files.
pub(crate) fn load(files: &ModelFiles, device: &Device) -> Result<SmolVlm> {
    let mut filling = Filling::new(files, device)?;
    let weights = Weights::open(files)?;
    for file in weights.files() {
        filling.add_file(file)?;
    }
    filling.finish()
}

/// The network's weights as the bytes of a `model.safetensors` that transformers loads.
pub(crate) async fn save(net: &Idefics3, precision: Precision) -> Result<Vec<u8>> {
    let mut pending = Vec::new();
    walk(&mut net.clone(), |name, slot| {
        pending.push((name, slot.shape(), slot.data()));
    });
    let mut tensors = Vec::with_capacity(pending.len());
    for (name, shape, data) in pending {
        let readback = |message: String| SmolVlmError::Readback {
            item: name.clone(),
            message,
        };
        let data = data.await.map_err(|error| readback(error.to_string()))?;
        let values: Vec<f32> = data
            .convert::<f32>()
            .try_into_vec()
            .map_err(|error| readback(format!("{error:?}")))?;
        tensors.push((name, (shape, values)));
    }
    Ok(tensors::write(SINGLE, tensors, precision)?)
}
