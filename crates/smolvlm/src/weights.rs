//! Weights in and out: Hugging Face's safetensors, one file or shards, plain numbers or blocks.
//!
//! Files are read by the `tensors` crate, one tensor at a time. Which tensors there have to be, `params.rs` says. Weights in
//! blocks (q8, q4) become f32 as they arrive: the network computes in f32 or bf16.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::tensor::Device;
use tensors::{Index, ModelFiles, Precision, SINGLE, WeightFile, Weights};

use crate::error::{Result, SmolVlmError};
use crate::model::Idefics3;
use crate::params::{manifest, walk};
use crate::smolvlm::SmolVlm;

const TABLE: &str = "model.text_model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

pub(crate) fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(", and {n} more"),
    }
}

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
    index: Option<Index>,
    /// Shapes of the tensors that are still to come.
    wanted: BTreeMap<String, Vec<usize>>,
    /// Names of the files that came.
    files: Vec<String>,
    /// Tensors that the network has no place for: file, name, shape.
    extra: Vec<(String, String, Vec<usize>)>,
    /// Hashes of the table's and the output layer's numbers, where the table is to serve as both.
    tied: HashMap<&'static str, [u8; 32]>,
}

impl Filling {
    /// A model without weights. `files` is its folder; weights in it are left aside, its list of shards is not.
    ///
    /// # Errors
    /// As [`SmolVlm::load`], weights aside.
    pub fn new(files: &ModelFiles, device: &Device) -> Result<Self> {
        let model = SmolVlm::blank(files, device)?;
        Ok(Self {
            wanted: manifest(&model.net).into_iter().collect(),
            model,
            index: Index::of(files)?,
            files: Vec::new(),
            extra: Vec::new(),
            tied: HashMap::new(),
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
        let names = self.check_file(file)?;
        let mut outcome = Ok(());
        walk(&mut self.model.net, |name, slot| {
            if outcome.is_ok() && names.contains(&name) {
                outcome = file.values(&name).map(|values| slot.set(values));
            }
        });
        Ok(outcome?)
    }

    /// Checks a file's hash and shapes. Gives the names of the tensors that are wanted of it.
    pub(crate) fn check_file(&mut self, file: &WeightFile) -> Result<BTreeSet<String>> {
        if let Some(index) = &self.index {
            index.check(file)?;
        }
        self.files.push(file.name().to_string());
        let mut names = BTreeSet::new();
        for (name, actual) in file.tensors() {
            let tied = [TABLE, HEAD].into_iter().find(|key| *key == name);
            if let Some(key) = tied.filter(|_| self.model.config().tie_word_embeddings) {
                self.tied.insert(key, file.fingerprint(name)?);
            }
            match self.wanted.remove(name) {
                None => self.extra.push((file.name().into(), name.into(), actual)),
                Some(expected) if expected != actual => {
                    return Err(SmolVlmError::TensorShape {
                        file: file.name().to_string(),
                        name: name.to_string(),
                        expected,
                        actual,
                        by: "config.json",
                    });
                }
                Some(_) => {
                    names.insert(name.to_string());
                }
            }
        }
        Ok(names)
    }

    /// The model, all of its weights there.
    ///
    /// # Errors
    /// Missing and extra tensors, by name and file.
    pub fn finish(self) -> Result<SmolVlm> {
        let mut missing = manifest(&self.model.net);
        missing.retain(|(name, _)| self.wanted.contains_key(name));
        if let Some((name, shape)) = missing.first() {
            return Err(SmolVlmError::MissingTensor {
                file: self.files.join(", "),
                name: name.clone(),
                expected: shape.clone(),
                more: more(missing.len() - 1),
            });
        }
        self.refuse_extra()?;
        Ok(self.model)
    }

    /// Refuses tensors that the network has no place for, but for two that are no weights of their
    /// own: rotary tables of old checkpoints, and the output layer beside a tied table, if equal.
    fn refuse_extra(&self) -> Result<()> {
        let tied_copy = |name: &str| {
            name == HEAD
                && self
                    .tied
                    .get(HEAD)
                    .is_some_and(|it| self.tied.get(TABLE) == Some(it))
        };
        let mut extra: Vec<_> = self.extra.iter().collect();
        extra.retain(|(_, name, _)| !name.ends_with("rotary_emb.inv_freq") && !tied_copy(name));
        extra.sort_by_key(|(_, name, _)| name);
        match extra.first() {
            None => Ok(()),
            Some((file, name, shape)) => Err(SmolVlmError::ExtraTensor {
                file: file.clone(),
                name: name.clone(),
                actual: shape.clone(),
                by: "config.json",
                more: more(extra.len() - 1),
            }),
        }
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
