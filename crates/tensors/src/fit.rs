//! Whether a file's tensors are those that a configuration describes.

use std::collections::{BTreeSet, HashMap};

use crate::{Result, TensorError, Values};

/// Problems that an error names; of more it gives the number.
const NAMED: usize = 5;

/// Checks tensors against the names and shapes that are wanted.
///
/// # Errors
/// Missing, misshapen and unknown tensors, by name.
pub fn fit(
    file: &str,
    tensors: &HashMap<String, Values>,
    wanted: &[(String, Vec<usize>)],
) -> Result<()> {
    let mut problems = Vec::new();
    for (name, expected) in wanted {
        match tensors.get(name) {
            None => problems.push(format!("tensor {name} {expected:?} is missing")),
            Some((shape, _)) if shape != expected => problems.push(format!(
                "tensor {name} has shape {shape:?}, the configuration says {expected:?}"
            )),
            Some(_) => {}
        }
    }
    let known: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let mut extra: Vec<&str> = tensors.keys().map(String::as_str).collect();
    extra.retain(|name| !known.contains(name));
    extra.sort_unstable();
    let unknown = extra.iter();
    problems.extend(unknown.map(|name| format!("tensor {name} is not known")));
    if problems.is_empty() {
        return Ok(());
    }
    let more = match problems.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    problems.truncate(NAMED);
    Err(TensorError::Tensors {
        file: file.to_string(),
        problem: problems.join("; ") + &more,
    })
}
