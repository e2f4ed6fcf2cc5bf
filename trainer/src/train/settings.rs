//! Configurations from three layers: defaults, a file, and `--set key=value`.
//!
//! The layers are merged as TOML tables and then read as a whole, so a section that names one key
//! keeps the defaults of the others, and unknown keys are refused wherever they stand.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Reads a configuration. `overrides` are `section.key=value`, the value as in TOML; one that is no
/// TOML is taken as text.
///
/// # Errors
/// A file that cannot be read or is no TOML, unknown keys, values of another type; the file is named.
pub fn read<T>(path: &Path, overrides: &[String]) -> Result<T>
where
    T: Default + Serialize + DeserializeOwned,
{
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot be read", path.display()))?;
    let about = || format!("{}", path.display());
    let file: Table = toml::from_str(&text).with_context(about)?;
    resolve(file, overrides).with_context(about)
}

/// Puts a file's table, and overrides, over the defaults.
///
/// # Errors
/// Unknown keys, values of another type.
pub fn resolve<T>(file: Table, overrides: &[String]) -> Result<T>
where
    T: Default + Serialize + DeserializeOwned,
{
    let mut all = Table::try_from(T::default())?;
    merge(&mut all, file);
    override_all(&mut all, overrides)?;
    Ok(Value::Table(all).try_into()?)
}

/// Puts `section.key=value` lines into a table.
///
/// # Errors
/// A line that is none; a section that is a value.
fn override_all(table: &mut Table, overrides: &[String]) -> Result<()> {
    for line in overrides {
        let (key, value) = line
            .split_once('=')
            .with_context(|| format!("--set {line}: expected key=value"))?;
        set(table, key.trim(), parse(value.trim())).with_context(|| format!("--set {line}"))?;
    }
    Ok(())
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn set(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let Some((section, rest)) = key.split_once('.') else {
        table.insert(key.to_string(), value);
        return Ok(());
    };
    let inner = table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()));
    match inner {
        Value::Table(inner) => set(inner, rest, value),
        Value::Array(_) => bail!("{section} is a list; change its entries in the file"),
        _ => bail!("{section} is no section"),
    }
}

fn parse(text: &str) -> Value {
    let line: Result<Table, _> = toml::from_str(&format!("value = {text}"));
    let value = line.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, serde::Deserialize, PartialEq, Debug)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        a: f64,
        b: String,
    }

    #[derive(Serialize, serde::Deserialize, PartialEq, Debug)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        n: u64,
        inner: Inner,
    }

    impl Default for Outer {
        fn default() -> Self {
            let inner = Inner {
                a: 0.5,
                b: "plain".into(),
            };
            Self { n: 3, inner }
        }
    }

    fn outer(text: &str, overrides: &[&str]) -> Result<Outer> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("run.toml");
        std::fs::write(&path, text)?;
        let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
        read(&path, &overrides)
    }

    #[test]
    fn a_section_with_one_key_keeps_the_others() {
        let found = outer("[inner]\na = 2.0", &[]).expect("settings");
        assert_eq!(
            (found.n, found.inner.a, found.inner.b.as_str()),
            (3, 2.0, "plain")
        );
    }

    #[test]
    fn an_override_wins() {
        let found = outer("n = 4", &["n=5", "inner.b=runs/x", "inner.a = 1.5"]).expect("settings");
        assert_eq!(
            (found.n, found.inner.a, found.inner.b.as_str()),
            (5, 1.5, "runs/x")
        );
    }

    #[test]
    fn unknown_keys_are_named() {
        for (text, set, key) in [
            ("[inner]\nstrange_key = 1", vec![], "strange_key"),
            ("", vec!["inner.strange_key=1"], "strange_key"),
            ("other_key = 1", vec![], "other_key"),
            ("", vec!["strange_section.a=1"], "strange_section"),
        ] {
            let error = format!("{:#}", outer(text, &set).expect_err("an error"));
            assert!(error.contains("run.toml"), "{error}");
            let named = format!("unknown field `{key}`");
            assert!(error.contains(&named), "{error} lacks {named}");
        }
    }
}
