//! What a run says at its end: where the model lies, and what comes next.

use std::path::Path;

/// The last words of a run in `out`. `data` is what the run was measured on, where it was; a reader (`sft` with
/// `task = "answer"`) proposes no boxes, so that other commands come next.
pub fn ending(out: &Path, data: Option<&Path>, reader: bool) -> String {
    let (model, adapter) = (out.join("model"), out.join("adapter"));
    let mut text = format!("The model lies in {}", quoted(&model));
    if adapter.is_dir() {
        text.push_str(&format!(
            ", the adapter alone, for PEFT, in {}",
            quoted(&adapter)
        ));
    }
    text.push_str(". What comes next:\n");
    let model = quoted(&model);
    let mut next = |words: String| text.push_str(&format!("  cropvlm {words}\n"));
    let data = data.map(quoted);
    match (&data, reader) {
        (Some(data), false) => next(format!("eval --model {model} --data {data}")),
        (None, false) => next(format!(
            "propose --model {model} --image web/samples/receipt.jpg --question \"What is the total?\""
        )),
        (_, true) => next(format!(
            "grpo --config trainer/configs/smoke.toml --set reward_model.path={model}"
        )),
    }
    next(format!("report {}", quoted(out)));
    next(format!("export --model {model} --out models/mine"));
    text.truncate(text.trim_end().len());
    text
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_names_the_model_and_commands_that_fit_it() {
        let folder = tempfile::tempdir().expect("folder");
        let out = folder.path().join("my run's");
        let text = ending(&out, Some(Path::new("held/samples.jsonl")), false);
        assert!(text.contains("my run'\\''s/model'. What"), "{text}");
        assert!(text.contains("--data held/samples.jsonl"), "{text}");
        assert!(!text.contains("adapter"), "{text}");
        std::fs::create_dir_all(out.join("adapter")).expect("folder");
        let text = ending(&out, None, true);
        assert!(text.contains("/adapter'. What"), "{text}");
        assert!(
            !text.contains("propose") && !text.contains("eval "),
            "{text}"
        );
        assert!(text.contains("reward_model.path="), "{text}");
    }
}
