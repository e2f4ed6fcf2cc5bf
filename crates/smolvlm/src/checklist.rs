//! Which tensors a checkpoint has to hold, and whether its files do.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tensors::{Index, ModelFiles, WeightFile};

use crate::config::Config;
use crate::error::{Result, SmolVlmError};

const TABLE: &str = "model.text_model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

pub(crate) fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(", and {n} more"),
    }
}

/// The tensors of a model while its files arrive.
pub(crate) struct Checklist {
    index: Option<Index>,
    /// Names and shapes, in the network's order.
    all: Vec<(String, Vec<usize>)>,
    /// Shapes of the tensors that are still to come.
    wanted: BTreeMap<String, Vec<usize>>,
    /// Names of the files that came.
    files: Vec<String>,
    /// Tensors that the network has no place for: file, name, shape.
    extra: Vec<(String, String, Vec<usize>)>,
    /// Whether the table is to serve as the output layer, too.
    tie: bool,
    /// Hashes of the table's and the output layer's numbers, where it is.
    tied: HashMap<&'static str, [u8; 32]>,
}

impl Checklist {
    /// Nothing came yet. `files` is the model's folder; weights in it are left aside, its list of shards is not.
    ///
    /// # Errors
    /// A list of shards that cannot be understood.
    pub(crate) fn new(files: &ModelFiles, config: &Config) -> Result<Self> {
        let all = shapes(config);
        Ok(Self {
            index: Index::of(files)?,
            wanted: all.iter().cloned().collect(),
            all,
            files: Vec::new(),
            extra: Vec::new(),
            tie: config.tie_word_embeddings,
            tied: HashMap::new(),
        })
    }

    /// Checks a file's hash and shapes. Gives the names of the tensors that are wanted of it.
    ///
    /// # Errors
    /// Another hash than the list of shards says; a misshapen tensor, by name and file.
    pub(crate) fn check_file(&mut self, file: &WeightFile) -> Result<BTreeSet<String>> {
        if let Some(index) = &self.index {
            index.check(file)?;
        }
        // A large file may come in parts.
        if self.files.last().is_none_or(|last| last != file.name()) {
            self.files.push(file.name().to_string());
        }
        let mut names = BTreeSet::new();
        for (name, actual) in file.tensors() {
            let tied = [TABLE, HEAD].into_iter().find(|key| *key == name);
            if let Some(key) = tied.filter(|_| self.tie) {
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

    /// Everything came, and nothing else.
    ///
    /// # Errors
    /// Missing and extra tensors, by name and file.
    pub(crate) fn finish(&self) -> Result<()> {
        let missing = self.all.iter();
        let missing: Vec<_> = missing
            .filter(|(name, _)| self.wanted.contains_key(name))
            .collect();
        if let Some((name, shape)) = missing.first() {
            return Err(SmolVlmError::MissingTensor {
                file: self.files.join(", "),
                name: name.clone(),
                expected: shape.clone(),
                more: more(missing.len() - 1),
            });
        }
        self.refuse_extra()
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

/// Name and shape of every tensor of a checkpoint of this configuration, in the network's order.
pub(crate) fn shapes(config: &Config) -> Vec<(String, Vec<usize>)> {
    let mut list = Shapes(Vec::new());
    let vision = &config.vision;
    let (width, inner) = (vision.hidden_size, vision.intermediate_size);
    let root = "model.vision_model";
    let patch = vision.patch_size;
    list.add(
        &format!("{root}.embeddings.patch_embedding.weight"),
        &[width, vision.num_channels, patch, patch],
    );
    list.add(&format!("{root}.embeddings.patch_embedding.bias"), &[width]);
    list.add(
        &format!("{root}.embeddings.position_embedding.weight"),
        &[vision.patches_per_side().pow(2), width],
    );
    for i in 0..vision.num_hidden_layers {
        let at = format!("{root}.encoder.layers.{i}");
        for layer in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            list.layer(&format!("{at}.self_attn.{layer}"), [width, width], true);
        }
        list.norm(&format!("{at}.layer_norm1"), width, true);
        list.layer(&format!("{at}.mlp.fc1"), [inner, width], true);
        list.layer(&format!("{at}.mlp.fc2"), [width, inner], true);
        list.norm(&format!("{at}.layer_norm2"), width, true);
    }
    list.norm(&format!("{root}.post_layernorm"), width, true);

    let text = &config.text;
    let (hidden, inner) = (text.hidden_size, text.intermediate_size);
    let folded = width * config.scale_factor.pow(2);
    list.layer(
        "model.connector.modality_projection.proj",
        [hidden, folded],
        false,
    );

    let root = "model.text_model";
    list.add(TABLE, &[text.vocab_size, hidden]);
    let queries = text.num_attention_heads * text.head_dim;
    let keys = text.num_key_value_heads * text.head_dim;
    for i in 0..text.num_hidden_layers {
        let at = format!("{root}.layers.{i}");
        list.norm(&format!("{at}.input_layernorm"), hidden, false);
        for (layer, shape) in [
            ("q_proj", [queries, hidden]),
            ("k_proj", [keys, hidden]),
            ("v_proj", [keys, hidden]),
            ("o_proj", [hidden, queries]),
        ] {
            list.layer(
                &format!("{at}.self_attn.{layer}"),
                shape,
                text.attention_bias,
            );
        }
        list.norm(&format!("{at}.post_attention_layernorm"), hidden, false);
        for (layer, shape) in [
            ("gate_proj", [inner, hidden]),
            ("up_proj", [inner, hidden]),
            ("down_proj", [hidden, inner]),
        ] {
            list.layer(&format!("{at}.mlp.{layer}"), shape, text.mlp_bias);
        }
    }
    list.norm(&format!("{root}.norm"), hidden, false);
    if !config.tie_word_embeddings {
        list.add(HEAD, &[text.vocab_size, hidden]);
    }
    list.0
}

struct Shapes(Vec<(String, Vec<usize>)>);

impl Shapes {
    fn add(&mut self, name: &str, shape: &[usize]) {
        self.0.push((name.to_string(), shape.to_vec()));
    }

    fn layer(&mut self, name: &str, shape: [usize; 2], bias: bool) {
        self.add(&format!("{name}.weight"), &shape);
        if bias {
            self.add(&format!("{name}.bias"), &shape[..1]);
        }
    }

    fn norm(&mut self, name: &str, width: usize, shift: bool) {
        self.add(&format!("{name}.weight"), &[width]);
        if shift {
            self.add(&format!("{name}.bias"), &[width]);
        }
    }
}
