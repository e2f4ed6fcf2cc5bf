//! Weights as they arrive, byte by byte: nobody ever needs room for all of them twice.

use smolvlm::Quant;
use smolvlm::infer::Filling;
use tensors::{Index, ModelFiles, Parts};

use super::Text;
use crate::Result;

/// Bytes of a weight file that are packed at a time, at least.
const PART: usize = 8 << 20;

/// A [`Text`] whose weight files arrive one after the other.
///
/// ```
/// # use engine::TextFilling;
/// # let goldens = concat!(env!("CARGO_MANIFEST_DIR"), "/../smolvlm");
/// # let files = tensors::ModelFiles::from_dir(format!("{goldens}/tiny").as_ref())?;
/// # let weights = std::fs::read(format!("{goldens}/goldens/model.safetensors")).unwrap();
/// let mut filling = TextFilling::new(&files, None)?; // no weights in it
/// for chunk in weights.chunks(10_000) {
///     filling.push("model.safetensors", chunk)?;
/// }
/// filling.end("model.safetensors")?;
/// let text = filling.finish()?;
/// # Ok::<(), engine::EngineError>(())
/// ```
pub struct TextFilling {
    filling: Filling,
    index: Option<Index>,
    coming: Coming,
}

/// What has come of a file that is not complete.
enum Coming {
    Nothing,
    /// A file whose hash is known: it is checked before any of it is used.
    Whole(Vec<u8>),
    /// Any other.
    Parts(Parts),
}

impl TextFilling {
    /// A model without weights; those in `files` are left aside. With `quant`, matrices that come in 16 or 32 bits are packed.
    ///
    /// # Errors
    /// Files that are missing, broken or unknown, by name.
    pub fn new(files: &ModelFiles, quant: Option<Quant>) -> Result<Self> {
        let mut filling = Filling::new(files)?;
        if let Some(quant) = quant {
            filling.quantize(quant);
        }
        Ok(Self {
            filling,
            index: Index::of(files)?,
            coming: Coming::Nothing,
        })
    }

    /// The same for the fastest graphics card that there is, to whose memory weights go as they come.
    ///
    /// # Errors
    /// As [`TextFilling::new`]; no card, or one that computes something else than the processor.
    #[cfg(feature = "gpu")]
    pub async fn on_card(files: &ModelFiles, quant: Option<Quant>) -> Result<Self> {
        let mut filling = Self::new(files, quant)?;
        filling.filling.on_card(None).await?;
        Ok(filling)
    }

    /// Takes what came next of a weight file.
    ///
    /// # Errors
    /// Bytes that are no weights; misshapen tensors, by name and file.
    pub fn push(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if let Coming::Nothing = self.coming {
            let about = self
                .index
                .as_ref()
                .and_then(|index| index.metadata.as_ref());
            let hashed = about.is_some_and(|about| about.sha256.contains_key(name));
            self.coming = match hashed {
                true => Coming::Whole(Vec::new()),
                false => Coming::Parts(Parts::new(name, PART)),
            };
        }
        match &mut self.coming {
            Coming::Nothing => {}
            Coming::Whole(all) => all.extend_from_slice(bytes),
            Coming::Parts(parts) => {
                for part in parts.push(bytes)? {
                    self.filling.add(name, &part)?;
                }
            }
        }
        Ok(())
    }

    /// All of a weight file came.
    ///
    /// # Errors
    /// A file that is cut, or is another one than the list of shards says; misshapen tensors.
    pub fn end(&mut self, name: &str) -> Result<()> {
        match std::mem::replace(&mut self.coming, Coming::Nothing) {
            Coming::Nothing => self.filling.add(name, &[])?,
            Coming::Whole(all) => self.filling.add(name, &all)?,
            Coming::Parts(parts) => parts.finish()?,
        }
        Ok(())
    }

    /// The model, all of its weights there.
    ///
    /// # Errors
    /// Missing and extra tensors, by name and file; a tokenizer that does not write digits one by one.
    pub fn finish(self) -> Result<Text> {
        Text::new(self.filling.finish()?)
    }
}
