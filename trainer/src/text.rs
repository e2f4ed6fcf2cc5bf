//! A text model that answers and scores: on the processor's own kernels where its weights are packed, on those of a graphics card
//! with `--device wgpu`; on burn for CUDA, where an adapter is put on, and on the processor where weights are not packed.

use std::path::Path;

use anyhow::{Context, Result, bail};
use burn::tensor::Tensor;
use picture::RgbImage;
use pollster::block_on;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use smolvlm::infer::{self, Model};
use smolvlm::{Completion, ModelFiles, Pictures, Prompts, Sampling, SmolVlm, SmolVlmError};

use crate::device::DeviceKind;
use crate::model::{ModelArgs, files};
use crate::reader::require_text_model;

/// A loaded text model.
#[allow(clippy::large_enum_variant)] // a program holds one or two
pub enum TextModel {
    /// On kernels of our own.
    Kernels(Model),
    /// On a device of burn's.
    Burn(SmolVlm),
}

/// Image tokens of pictures, [N x tokens a tile, hidden].
#[allow(clippy::large_enum_variant)] // a picture has one
#[derive(Clone)]
pub enum ImageTokens {
    /// Of [`TextModel::Kernels`].
    Kernels(Vec<f32>),
    /// Of [`TextModel::Burn`].
    Burn(Tensor<2>),
}

impl ImageTokens {
    /// These, and those of more pictures.
    pub fn and(self, more: Self) -> Self {
        match (self, more) {
            (Self::Kernels(mut tokens), Self::Kernels(more)) => {
                tokens.extend(more);
                Self::Kernels(tokens)
            }
            (Self::Burn(tokens), Self::Burn(more)) => {
                Self::Burn(Tensor::cat(vec![tokens, more], 0)) // [tokens of both, hidden]
            }
            // A model makes one kind.
            (tokens, _) => tokens,
        }
    }
}

/// A prompt that the model has read.
#[allow(clippy::large_enum_variant)] // a question has one
pub enum Read {
    /// By [`TextModel::Kernels`].
    Kernels(infer::Prompt),
    /// By [`TextModel::Burn`].
    Burn(smolvlm::Prompt),
}

impl Read {
    /// Tokens of the prompt.
    pub fn tokens(&self) -> usize {
        match self {
            Self::Kernels(prompt) => prompt.tokens(),
            Self::Burn(prompt) => prompt.tokens(),
        }
    }
}

/// A model on a graphics card, and nowhere else.
#[cfg(feature = "wgpu")]
fn on_card(files: &ModelFiles) -> Result<Model> {
    match block_on(Model::load_on(files, None)) {
        Err(refused @ SmolVlmError::Card(_)) => {
            bail!("{refused}; --device cpu computes without one")
        }
        model => Ok(model?),
    }
}

#[cfg(not(feature = "wgpu"))]
fn on_card(_: &ModelFiles) -> Result<Model> {
    bail!("{}", crate::device::NO_WGPU)
}

/// What another model made.
fn foreign<T>(item: &str) -> Result<T, SmolVlmError> {
    Err(SmolVlmError::Argument {
        item: item.to_owned(),
        expected: "what this model made".to_owned(),
        actual: "another's".to_owned(),
    })
}

impl TextModel {
    /// Opens a model folder for `command`, its adapter on.
    ///
    /// # Errors
    /// A folder of another kind of model, or one that cannot be read or does not fit, by name; a device that is not there.
    pub fn open(args: &ModelArgs, device: DeviceKind, command: &str) -> Result<Self> {
        let on_burn = || Ok(Self::Burn(args.text_model(command, &device.open()?)?));
        if device == DeviceKind::Cuda || args.adapter.is_some() {
            return on_burn();
        }
        require_text_model(&args.model, command)?;
        let files = files(&args.model)?;
        let model = match device {
            DeviceKind::Wgpu => on_card(&files),
            _ if smolvlm::is_packed(&files) => Ok(Model::load(&files)?),
            _ => return on_burn(),
        };
        let model = model.with_context(|| format!("model folder {}", args.model.display()))?;
        Ok(Self::Kernels(model))
    }

    /// Opens a folder without an adapter.
    ///
    /// # Errors
    /// As [`TextModel::open`].
    pub fn open_dir(dir: &Path, device: DeviceKind, command: &str) -> Result<Self> {
        let args = ModelArgs {
            model: dir.to_path_buf(),
            adapter: None,
        };
        Self::open(&args, device, command)
    }

    /// Tokenizer and chat template.
    pub fn prompts(&self) -> &Prompts {
        match self {
            Self::Kernels(model) => model.prompts(),
            Self::Burn(model) => model.prompts(),
        }
    }

    /// Side of a tile, pixels.
    pub fn tile(&self) -> usize {
        match self {
            Self::Kernels(model) => model.images().tile(),
            Self::Burn(model) => model.images().tile(),
        }
    }

    /// Tiles of pictures and their image tokens.
    ///
    /// # Errors
    /// A longest edge of 0 or above 6 tiles.
    pub fn encode(
        &self,
        pictures: &[&RgbImage],
        longest_edge: Option<usize>,
    ) -> Result<(Pictures, ImageTokens), SmolVlmError> {
        match self {
            Self::Kernels(model) => {
                let tiles = model.pictures(pictures, longest_edge)?;
                let tokens = block_on(model.encode(&tiles))?;
                Ok((tiles, ImageTokens::Kernels(tokens)))
            }
            Self::Burn(model) => {
                let tiles = model.pictures(pictures, longest_edge)?;
                let tokens = model.encode(&tiles);
                Ok((tiles, ImageTokens::Burn(tokens)))
            }
        }
    }

    /// Lets the decoder read pictures and text.
    ///
    /// # Errors
    /// A prompt too long for the model.
    pub fn read(
        &self,
        pictures: &Pictures,
        tokens: &ImageTokens,
        text: &str,
    ) -> Result<Read, SmolVlmError> {
        match (self, tokens) {
            (Self::Kernels(model), ImageTokens::Kernels(tokens)) => {
                let scene = block_on(model.read_pictures(pictures, tokens))?;
                Ok(Read::Kernels(block_on(model.ask(&scene, text))?))
            }
            (Self::Burn(model), ImageTokens::Burn(tokens)) => {
                let scene = model.read_pictures(pictures, tokens)?;
                Ok(Read::Burn(model.ask(&scene, text)?))
            }
            _ => foreign("image tokens"),
        }
    }

    /// The answer to a prompt, the likeliest token each time.
    ///
    /// # Errors
    /// A limit beyond the context; weights that compute no numbers; a failed device.
    pub fn answer(&self, prompt: &Read, max_tokens: usize) -> Result<Completion, SmolVlmError> {
        // Never drawn from: the choice is greedy.
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let greedy = Sampling::Greedy;
        let mut written = match (self, prompt) {
            (Self::Kernels(model), Read::Kernels(prompt)) => {
                block_on(model.generate(prompt, 1, max_tokens, greedy, &mut rng))?
            }
            (Self::Burn(model), Read::Burn(prompt)) => {
                block_on(model.generate(prompt, 1, max_tokens, greedy, &mut rng))?
            }
            _ => return foreign("prompt"),
        };
        Ok(written.remove(0))
    }

    /// Log-probability of every token of a completion.
    ///
    /// # Errors
    /// An empty completion; weights that compute no numbers; a failed device.
    pub fn log_probs(&self, prompt: &Read, ids: &[u32]) -> Result<Vec<f32>, SmolVlmError> {
        match (self, prompt) {
            (Self::Kernels(model), Read::Kernels(prompt)) => {
                block_on(model.token_log_probs(prompt, ids))
            }
            (Self::Burn(model), Read::Burn(prompt)) => {
                let each = model.token_log_probs(prompt, &[ids.to_vec()])?; // [1, T]
                block_on(smolvlm::read(each, "log-probabilities"))
            }
            _ => foreign("prompt"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tiny model in q4: no part of the program makes f32 of it on the processor.
    #[test]
    fn packed_weights_stay_packed_on_the_processor() {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folder = tempfile::tempdir().expect("folder");
        let packed = tests.join("tests/browser/models/text-q4");
        for dir in [tests.join("crates/smolvlm/tiny"), packed] {
            for file in std::fs::read_dir(dir).expect("dir") {
                let path = file.expect("file").path();
                let name = path.file_name().expect("name");
                std::fs::copy(&path, folder.path().join(name)).expect("copied");
            }
        }
        let open = |device| TextModel::open_dir(folder.path(), device, "answer").expect("model");
        let TextModel::Kernels(model) = open(DeviceKind::Cpu) else {
            panic!("on burn");
        };
        let numbers: usize = tensors::Weights::open(&files(folder.path()).expect("files"))
            .expect("weights")
            .files()
            .iter()
            .flat_map(|file| file.tensors())
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        assert!(
            2 * model.bytes() < 4 * numbers,
            "{} {numbers}",
            model.bytes()
        );
    }
}
