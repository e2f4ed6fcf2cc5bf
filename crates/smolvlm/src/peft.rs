//! PEFT folders in and out: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Keys are `base_model.model.` + the module's name in transformers + `.lora_A.weight` [r, in] or
//! `.lora_B.weight` [out, r]; the product counts `lora_alpha / r`. Settings that would make the
//! adapter compute something else (DoRA, saved base modules, ranks that differ from layer to layer)
//! are refused by name; settings that only describe how it was made are let pass.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tensors::{ModelFiles, Precision, SafeTensors, TensorView, open_file, values};

use crate::adapter::LoraConfig;
use crate::checklist::more;
use crate::error::{Result, SmolVlmError};
use crate::model::Idefics3;
use crate::params::{turned, walk_projections};
use crate::smolvlm::SmolVlm;

/// Settings of a PEFT adapter.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Factors of a PEFT adapter.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

/// Keys that describe how an adapter was made, or only matter beside another that is refused.
const HARMLESS: [&str; 16] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "layers_pattern",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "monteclora_config",
];

fn unsupported(item: &str, expected: &str, actual: &Value) -> SmolVlmError {
    SmolVlmError::Unsupported {
        file: ADAPTER_CONFIG.to_string(),
        item: item.to_string(),
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

/// Whether a setting is off: null, false, 0, empty.
fn off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty() || s == "none",
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

/// The adapter that `adapter_config.json` describes; targets are `None` where they are an expression
/// rather than a list, so that the file of factors has to say them.
fn read_config(files: &ModelFiles) -> Result<(LoraConfig, bool)> {
    let map: Map<String, Value> = files.json(ADAPTER_CONFIG)?;
    let mut config = LoraConfig {
        target_modules: Vec::new(),
        ..LoraConfig::default()
    };
    let mut listed = true;
    let number = |key: &str, value: &Value| {
        let found = value.as_f64();
        found.ok_or_else(|| unsupported(key, "it has to be a number", value))
    };
    for (key, value) in &map {
        match key.as_str() {
            "peft_type" if value == "LORA" => {}
            "peft_type" => return Err(unsupported(key, "only \"LORA\" is implemented", value)),
            "r" => {
                let r = value.as_u64().filter(|&r| r > 0);
                config.r = r
                    .ok_or_else(|| unsupported(key, "a rank is a whole number above 0", value))?
                    as usize;
            }
            "lora_alpha" => config.lora_alpha = number(key, value)?,
            "lora_dropout" => config.lora_dropout = number(key, value)?,
            "use_rslora" => config.use_rslora = value == true,
            "target_modules" => match value {
                Value::Array(list) => {
                    let names = list.iter().filter_map(Value::as_str).map(String::from);
                    config.target_modules = names.collect();
                }
                Value::String(_) => listed = false,
                _ => return Err(unsupported(key, "a list of names is expected", value)),
            },
            "init_lora_weights" => {
                let plain = ["gaussian", "orthogonal", "eva"];
                if !value.is_boolean() && !plain.iter().any(|name| value == name) {
                    let why = "such an adapter belongs to a changed base, which the folder lacks; \
                               save it converted (peft: `save_pretrained(..., path_initial_model_for_weight_conversion=...)`)";
                    return Err(unsupported(key, why, value));
                }
            }
            key if HARMLESS.contains(&key) || off(value) => {}
            "use_dora" => {
                let why = "DoRA is not implemented: merge the adapter with peft (`merge_and_unload`) and use the merged folder";
                return Err(unsupported(key, why, value));
            }
            key => {
                let why = "that is not implemented: merge the adapter with peft (`merge_and_unload`) and use the merged folder";
                return Err(unsupported(key, why, value));
            }
        }
    }
    if listed && config.target_modules.is_empty() {
        let found = map.get("target_modules").unwrap_or(&Value::Null);
        let why = "a list of module names is expected";
        return Err(unsupported("target_modules", why, found));
    }
    Ok((config, listed))
}

/// The module that a factor's key names.
fn module_of(key: &str) -> Option<&str> {
    let key = key.strip_prefix(PREFIX)?;
    key.strip_suffix(".lora_A.weight")
        .or_else(|| key.strip_suffix(".lora_B.weight"))
}

/// Key of a module's factor, `A` or `B`.
pub(crate) fn factor_key(module: &str, factor: &str) -> String {
    format!("{PREFIX}{module}.lora_{factor}.weight")
}

/// Settings and factors of a PEFT folder for a network, the factors by key and in the file's layout.
///
/// # Errors
/// As [`SmolVlm::load_adapter`].
pub(crate) fn read_adapter(
    net: &mut Idefics3,
    files: &ModelFiles,
) -> Result<(LoraConfig, HashMap<String, Vec<f32>>)> {
    let (mut config, listed) = read_config(files)?;
    let bytes = files.get(ADAPTER_WEIGHTS)?;
    let tensors = open_file(ADAPTER_WEIGHTS, bytes)?;
    if !listed {
        let mut names: Vec<String> = tensors
            .names()
            .into_iter()
            .filter_map(|key| module_of(key).map(String::from))
            .collect();
        names.sort();
        names.dedup();
        config.target_modules = names;
    }
    config.check()?;

    let mut wanted = Vec::new();
    walk_projections(net, |name, layer| {
        if config.targets(name) {
            let [from, to] = layer.widths();
            wanted.push((factor_key(name, "A"), vec![config.r, from]));
            wanted.push((factor_key(name, "B"), vec![to, config.r]));
        }
    });
    let found = read_factors(&tensors, &wanted)?;
    Ok((config, found))
}

impl SmolVlm {
    /// Puts a PEFT folder's adapter on; its factors are trained, the rest is frozen. An adapter that
    /// is there already is replaced.
    ///
    /// # Errors
    /// A missing or unreadable file, a setting that is not implemented, a missing, extra or
    /// misshapen factor, each by name.
    pub fn load_adapter(&mut self, files: &ModelFiles) -> Result<()> {
        let (config, mut found) = read_adapter(&mut self.net, files)?;
        self.set_adapter(&config, |name, [from, to], r| {
            let mut take = |factor: &str, rows, columns| {
                let values = found.remove(&factor_key(name, factor)).unwrap_or_default();
                turned(&values, rows, columns)
            };
            (take("A", r, from), take("B", to, r))
        });
        Ok(())
    }

    /// The adapter as a PEFT folder, in f32: what `PeftModel.from_pretrained` loads onto
    /// `Idefics3ForConditionalGeneration`.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] if there is no adapter; [`SmolVlmError::Readback`].
    pub async fn save_adapter(&self) -> Result<ModelFiles> {
        let Some(config) = self.adapter() else {
            return Err(SmolVlmError::Argument {
                item: "adapter".to_string(),
                expected: "a model with an adapter on".to_string(),
                actual: "none".to_string(),
            });
        };
        let mut pending = Vec::new();
        walk_projections(&mut self.net.clone(), |name, layer| {
            if let Some(lora) = &layer.lora {
                let factors = [("A", lora.a.val()), ("B", lora.b.val())];
                for (factor, tensor) in factors {
                    let key = factor_key(name, factor);
                    // As the file has it: [r, in] and [out, r].
                    let turned = tensor.without_autodiff().transpose();
                    pending.push((key, turned.dims().to_vec(), turned.flatten::<1>(0, 1)));
                }
            }
        });
        let mut tensors = Vec::with_capacity(pending.len());
        for (key, shape, tensor) in pending {
            let values = crate::generate::read(tensor, &key).await?;
            tensors.push((key, (shape, values)));
        }
        let weights = tensors::write(ADAPTER_WEIGHTS, tensors, Precision::F32)?;
        Ok(ModelFiles::from_memory([
            (ADAPTER_CONFIG.to_string(), write_config(config)),
            (ADAPTER_WEIGHTS.to_string(), weights),
        ]))
    }
}

/// Values of the wanted factors by key, in the file's layout.
fn read_factors(
    tensors: &SafeTensors,
    wanted: &[(String, Vec<usize>)],
) -> Result<HashMap<String, Vec<f32>>> {
    let mut found: HashMap<String, TensorView> = tensors.tensors().into_iter().collect();
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(key, _)| !found.contains_key(key))
        .collect();
    if let Some((key, shape)) = missing.first() {
        return Err(SmolVlmError::MissingTensor {
            file: ADAPTER_WEIGHTS.to_string(),
            name: key.clone(),
            expected: shape.clone(),
            more: more(missing.len() - 1),
        });
    }
    let mut all = HashMap::new();
    for (key, expected) in wanted {
        let Some(tensor) = found.remove(key) else {
            continue;
        };
        if tensor.shape() != expected {
            return Err(SmolVlmError::TensorShape {
                file: ADAPTER_WEIGHTS.to_string(),
                name: key.clone(),
                expected: expected.clone(),
                actual: tensor.shape().to_vec(),
                by: "config.json and adapter_config.json",
            });
        }
        all.insert(key.clone(), values(ADAPTER_WEIGHTS, key, &tensor)?);
    }
    let mut extra: Vec<&String> = found.keys().collect();
    extra.sort_unstable();
    match extra.first() {
        None => Ok(all),
        Some(key) => Err(SmolVlmError::ExtraTensor {
            file: ADAPTER_WEIGHTS.to_string(),
            name: key.to_string(),
            actual: found[*key].shape().to_vec(),
            by: "config.json and adapter_config.json",
            more: more(extra.len() - 1),
        }),
    }
}

/// `adapter_config.json` as peft writes it.
fn write_config(config: &LoraConfig) -> Vec<u8> {
    // PEFT keeps a whole alpha as an integer.
    let alpha = match config.lora_alpha.fract() == 0.0 {
        true => json!(config.lora_alpha as i64),
        false => json!(config.lora_alpha),
    };
    let content = json!({
        "alpha_pattern": {},
        "auto_mapping": null,
        "base_model_name_or_path": null,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": alpha,
        "lora_dropout": config.lora_dropout,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": config.r,
        "rank_pattern": {},
        "target_modules": config.target_modules,
        "task_type": null,
        "use_dora": false,
        "use_rslora": config.use_rslora,
    });
    format!("{content:#}\n").into_bytes()
}
