//! The folder of a run: one run at a time, of one command and one configuration.
//!
//! ```text
//! let folder = RunFolder::take(out, "sft")?;       // ours, or new; locked until it is dropped
//! folder.compare(&config, with_changes)?;          // the configuration it was begun with
//! ... load models and data ...
//! folder.record(&config)?;                         // config.toml, and changes.jsonl where it changed
//! ```
//!
//! A run that goes on with another seed, rate or reward is neither the old one nor a new one, and nobody could tell
//! from its folder. So that is refused, unless it is asked for; then `changes.jsonl` says what changed at which step.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use toml::Table;

use super::checkpoint::Checkpoint;
use super::settings;
use crate::write;

/// Name of the resolved configuration.
const CONFIG: &str = "config.toml";
/// What changed while the run went on, one change a line.
const CHANGES: &str = "changes.jsonl";
/// Keys that a run may go on with as they like: what it may cost and how patiently somebody is asked, not what it learns.
const FREE: [&str; 8] = [
    "reward_model.api.key_env",
    "reward_model.api.max_calls",
    "reward_model.api.max_cost",
    "reward_model.api.parallel",
    "reward_model.api.price_completion",
    "reward_model.api.price_prompt",
    "reward_model.api.timeout",
    "reward_model.api.tries",
];
/// How the line begins that names the command.
const COMMAND: &str = "# cropvlm ";

/// A run's folder that no other program writes into.
pub struct RunFolder {
    out: PathBuf,
    command: &'static str,
    /// `None` where the file system knows no locks.
    _lock: Option<File>,
    /// Folders that were made for it, innermost first; they go again if nothing comes of the run.
    made: RefCell<Vec<PathBuf>>,
    /// What differs from the configuration that the run was begun with.
    changes: RefCell<Vec<Change>>,
}

/// One key of the configuration that differs.
#[derive(Debug, PartialEq)]
struct Change {
    key: String,
    before: Option<String>,
    now: Option<String>,
}

impl RunFolder {
    /// Takes a folder for a run of `command`: makes it, and holds it until this is dropped.
    ///
    /// # Errors
    /// A folder that cannot be written; one in use; one that holds no run, or another command's.
    pub fn take(out: &Path, command: &'static str) -> Result<Self> {
        write::check_folder(out)?;
        let strange = first_of(out)?.filter(|_| !out.join(CONFIG).exists());
        if let Some(name) = strange {
            bail!(
                "{}: holds {name} and no run ({CONFIG}); name another --out",
                out.display()
            );
        }
        let missing = out.ancestors().take_while(|folder| !folder.exists());
        let made = RefCell::new(missing.map(Path::to_path_buf).collect());
        std::fs::create_dir_all(out)
            .with_context(|| format!("{}: cannot be made", out.display()))?;
        let folder = Self {
            out: out.to_path_buf(),
            command,
            _lock: write::lock(out)?,
            made,
            changes: RefCell::default(),
        };
        if let Some(text) = folder.config()?
            && command_of(&text) != command
        {
            bail!(
                "{}: is a run of `cropvlm {}`, which `cropvlm {command}` cannot go on with; name another --out",
                out.display(),
                command_of(&text)
            );
        }
        Ok(folder)
    }

    /// Compares a configuration with the one that the run was begun with. Nothing is written.
    ///
    /// # Errors
    /// Keys that differ, by name, unless `with_changes`.
    pub fn compare<T>(&self, config: &T, with_changes: bool) -> Result<()>
    where
        T: Default + Serialize + DeserializeOwned,
    {
        let Some(text) = self.config()? else {
            return Ok(());
        };
        let path = self.out.join(CONFIG);
        let before: Table = toml::from_str(&text).with_context(|| path.display().to_string())?;
        // Keys that came later have their defaults; a file that is no configuration any more is compared as it is.
        let resolved = settings::resolve::<T>(before.clone(), &[]);
        let before = match resolved.and_then(|before| Ok(Table::try_from(before)?)) {
            Ok(resolved) => resolved,
            Err(_) => before,
        };
        let mut changes = differences(&before, &Table::try_from(config)?);
        changes.retain(|change| !FREE.contains(&change.key.as_str()));
        if changes.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = changes.iter().map(Change::to_string).collect();
        let named = named.join("\n  ");
        if Checkpoint::new(&self.out).step()?.is_none() {
            eprintln!(
                "{}: was begun with another configuration and has no checkpoint: it begins anew\n  {named}",
                self.out.display()
            );
        } else if !with_changes {
            bail!(
                "{}: this run was begun with another configuration:\n  {named}\n\
                 Name another --out, or go on all the same with --continue-with-changes",
                self.out.display()
            );
        }
        *self.changes.borrow_mut() = changes;
        Ok(())
    }

    /// Writes the configuration, if it is new or changed, and what changed, if the run goes on. From here on the folder
    /// stays.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn record(&self, config: &impl Serialize) -> Result<()> {
        let changes = self.changes.take();
        let path = self.out.join(CONFIG);
        let step = Checkpoint::new(&self.out).step()?;
        if let (Some(step), false) = (step, changes.is_empty()) {
            let keys = changes.into_iter().map(|change| {
                let values = json!({"before": change.before, "now": change.now});
                (change.key, values)
            });
            let time = SystemTime::now().duration_since(UNIX_EPOCH);
            let line = json!({
                "step": step, "time": time.map_or(0, |t| t.as_secs()), "commit": super::commit(),
                "changes": Value::Object(keys.collect::<Map<_, _>>()),
            });
            let changes = self.out.join(CHANGES);
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&changes)
                .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
                .with_context(|| format!("{}: cannot be written", changes.display()))?;
            eprintln!(
                "step {step}: the run goes on with changes, see {}",
                changes.display()
            );
        } else if changes.is_empty() && path.exists() {
            self.made.borrow_mut().clear();
            return Ok(());
        }
        let commit = super::commit().map_or(String::new(), |c| format!("# commit {c}\n"));
        let resolved = toml::to_string_pretty(config)?;
        let text = format!("{COMMAND}{}\n{commit}{resolved}", self.command);
        write::file(&path, text.as_bytes())?;
        self.made.borrow_mut().clear();
        Ok(())
    }

    /// The configuration's text, if there is one.
    fn config(&self) -> Result<Option<String>> {
        let path = self.out.join(CONFIG);
        match path.exists() {
            true => std::fs::read_to_string(&path)
                .map(Some)
                .with_context(|| format!("{}: cannot be read", path.display())),
            false => Ok(None),
        }
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let made = self.made.take();
        if !made.is_empty() {
            let _ = std::fs::remove_file(self.out.join(write::LOCK));
        }
        for folder in made {
            // One that is not empty stays.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "left out".into());
        write!(
            f,
            "{}: {}, now {}",
            self.key,
            text(&self.before),
            text(&self.now)
        )
    }
}

/// Name of something in a folder, the lock aside.
fn first_of(folder: &Path) -> Result<Option<String>> {
    if !folder.exists() {
        return Ok(None);
    }
    let about = || format!("{}: cannot be read", folder.display());
    for entry in std::fs::read_dir(folder).with_context(about)? {
        let name = entry.with_context(about)?.file_name();
        if name != write::LOCK {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// The command of a configuration's text. Runs from before it was written there have keys of their own.
fn command_of(text: &str) -> &str {
    let named = text.lines().find_map(|line| line.strip_prefix(COMMAND));
    let of_grpo = || text.lines().any(|line| line.starts_with("policy = "));
    named.unwrap_or_else(|| if of_grpo() { "grpo" } else { "sft" })
}

/// Keys of two tables whose values differ, with dots between sections.
fn differences(before: &Table, now: &Table) -> Vec<Change> {
    let (before, now) = (flat(before), flat(now));
    let keys = before
        .keys()
        .chain(now.keys().filter(|k| !before.contains_key(*k)));
    let mut changes: Vec<Change> = keys
        .filter(|key| before.get(*key) != now.get(*key))
        .map(|key| Change {
            key: key.clone(),
            before: before.get(key).cloned(),
            now: now.get(key).cloned(),
        })
        .collect();
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

fn flat(table: &Table) -> BTreeMap<String, String> {
    fn walk(name: String, value: &toml::Value, found: &mut BTreeMap<String, String>) {
        let inner = |key: &str| match name.as_str() {
            "" => key.to_string(),
            _ => format!("{name}.{key}"),
        };
        match value {
            toml::Value::Table(table) => {
                for (key, value) in table {
                    walk(inner(key), value, found);
                }
            }
            toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
                for (i, value) in list.iter().enumerate() {
                    walk(inner(&(i + 1).to_string()), value, found);
                }
            }
            value => {
                found.insert(name, value.to_string());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(
        String::new(),
        &toml::Value::Table(table.clone()),
        &mut found,
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_differs_is_named_by_key() {
        let before = table("seed = 1\nminutes = 2.0\n[a]\nb = \"x\"\n[[data]]\nsamples = \"p\"");
        let now =
            table("seed = 2\n[a]\nb = \"x\"\n[[data]]\nsamples = \"p\"\n[[data]]\nsamples = \"q\"");
        let named: Vec<String> = differences(&before, &now)
            .iter()
            .map(Change::to_string)
            .collect();
        assert_eq!(
            named,
            [
                "data.2.samples: left out, now \"q\"",
                "minutes: 2.0, now left out",
                "seed: 1, now 2"
            ]
        );
    }

    #[test]
    fn a_folder_that_nothing_came_of_is_gone_again() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("runs/first");
        drop(RunFolder::take(&out, "sft").unwrap());
        assert!(!place.path().join("runs").exists());
        let folder = RunFolder::take(&out, "sft").unwrap();
        folder.record(&table("seed = 1")).unwrap();
        drop(folder);
        assert!(out.join(CONFIG).exists());
    }

    #[test]
    fn a_strangers_folder_is_refused() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("letter.odt"), "").unwrap();
        let error = RunFolder::take(place.path(), "sft").err().unwrap();
        assert!(error.to_string().contains("letter.odt"), "{error}");
    }

    #[test]
    fn the_command_is_known_with_and_without_its_line() {
        assert_eq!(command_of("# cropvlm sft\n# commit 1\npolicy = 1\n"), "sft");
        assert_eq!(command_of("# commit 1\nseed = 1\npolicy = \"a\"\n"), "grpo");
        assert_eq!(command_of("seed = 1\n"), "sft");
    }
}
