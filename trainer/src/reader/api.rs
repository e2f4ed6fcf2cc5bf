//! A provider's model as the reward model: any VLM that can be asked over the network says what a box is worth, by the
//! answer that it gives with the crop.
//!
//! ```text
//! request (full image, crop, question) -> answers.jsonl by its hash: there already?
//!    no -> budget -> provider, with retries (http.rs) -> answers.jsonl
//! ```
//!
//! Every answer is kept on disk when it comes: a run that is stopped and goes on, or draws a box again, pays once. An API
//! tells no log-probability of an answer that is given, so that only the rewards that compare answers can be had.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use grounding::{Case, NormBox, Sample};
use picture::RgbImage;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vlm_api::{Provider, Request};

use super::crop;
use crate::at_once::at_once;
use crate::data;
use crate::stop::Stop;
use crate::vlm::{Answering, NoAnswer, Original, Remote, RemoteSettings, Shown};
use crate::write;

/// The file of answers in a run's folder.
pub const FILE: &str = "answers.jsonl";

/// `[reward_model.api]`: who is asked, how, and what it may cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Who is asked, and so how: openai is OpenAI and everybody who speaks its chat completions.
    pub provider: String,
    /// Base URL; left out: the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The model's name there.
    pub model: String,
    /// Environment variable that holds the key; left out: no key is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// Questions asked at the same time.
    pub parallel: usize,
    /// Seconds for one answer.
    pub timeout: f64,
    /// Tries of one question.
    pub tries: u32,
    /// Questions that the run may ask, those of its folder's answers.jsonl counted; left out: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u64>,
    /// What the run may cost, in the currency of the prices; left out: anything. Questions that are under way when it is
    /// reached are still paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<f64>,
    /// Price of a million tokens of prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_prompt: Option<f64>,
    /// Price of a million tokens of answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_completion: Option<f64>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            provider: Provider::OpenAi.profile().id.to_owned(),
            url: None,
            model: String::new(),
            key_env: None,
            parallel: 8,
            timeout: 120.0,
            tries: 6,
            max_calls: None,
            max_cost: None,
            price_prompt: None,
            price_completion: None,
        }
    }
}

impl ApiConfig {
    /// Refuses what cannot be; keys are named below `reward_model.api`.
    ///
    /// # Errors
    /// The first such value.
    pub fn check(&self) -> Result<()> {
        if Provider::from_id(&self.provider).is_none() {
            let all: Vec<&str> = Provider::ALL.iter().map(|p| p.profile().id).collect();
            bail!(
                "provider: there is no \"{}\"; there are {}",
                self.provider,
                all.join(", ")
            );
        }
        if self.model.trim().is_empty() {
            bail!("model: name the provider's model");
        }
        if self.parallel == 0 || self.tries == 0 {
            bail!("parallel and tries: at least 1");
        }
        let positive = [("timeout", Some(self.timeout)), ("max_cost", self.max_cost)];
        for (key, value) in positive {
            if value.is_some_and(|value| !(value > 0.0 && value.is_finite())) {
                bail!(
                    "{key}: expected a number above 0, found {}",
                    value.unwrap_or(0.0)
                );
            }
        }
        for (key, price) in [
            ("price_prompt", self.price_prompt),
            ("price_completion", self.price_completion),
        ] {
            if price.is_some_and(|price| !(price >= 0.0 && price.is_finite())) {
                bail!("{key}: expected 0 or more, found {}", price.unwrap_or(0.0));
            }
            if price.is_none() && self.max_cost.is_some() {
                bail!("{key}: max_cost needs what a million tokens cost");
            }
        }
        Ok(())
    }

    /// What so many tokens of prompt and answer cost.
    fn cost(&self, (prompt, completion): (u64, u64)) -> f64 {
        let price = |tokens: u64, price: Option<f64>| tokens as f64 / 1e6 * price.unwrap_or(0.0);
        price(prompt, self.price_prompt) + price(completion, self.price_completion)
    }
}

/// A budget that is used up: the run ends, and goes on where more is allowed.
#[derive(Debug)]
pub struct BudgetSpent(String);

impl fmt::Display for BudgetSpent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BudgetSpent {}

/// A line of answers.jsonl.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    /// SHA-256 of what was sent: address, model, pictures, question.
    key: String,
    id: String,
    #[serde(rename = "box")]
    bbox: Option<NormBox>,
    answer: String,
    refused: bool,
    /// Of prompt and answer, where the provider says so.
    tokens: Option<(u64, u64)>,
}

/// What was asked so far, by this run and by those that it goes on from.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Questions.
    pub calls: u64,
    /// By the prices of the configuration.
    pub cost: f64,
}

struct State {
    answers: HashMap<String, (String, bool)>,
    file: Option<File>,
    spent: Spent,
    /// Questions under way.
    asking: usize,
}

/// A provider's model that reads. Threads share it.
pub struct ApiReader {
    config: ApiConfig,
    remote: Remote,
    stop: Stop,
    full_image: bool,
    longest_edge: Option<u32>,
    path: Option<PathBuf>,
    state: Mutex<State>,
    /// Somebody's question was answered.
    answered: Condvar,
}

impl ApiReader {
    /// Makes ready to ask; answers are kept in `folder`, without one in memory. `longest_edge` bounds every picture.
    ///
    /// # Errors
    /// A key that is not there, an address that is none, a file of answers that cannot be read or written.
    pub fn open(
        config: &ApiConfig,
        (case, full_image, longest_edge): (Case, bool, Option<usize>),
        folder: Option<&Path>,
        stop: Stop,
    ) -> Result<Self> {
        let remote = RemoteSettings {
            provider: Provider::from_id(&config.provider).unwrap_or(Provider::OpenAi),
            url: config.url.clone(),
            model: config.model.clone(),
            key_env: config.key_env.clone(),
            timeout: Duration::from_secs_f64(config.timeout),
            tries: config.tries,
        };
        let remote = remote
            .open(case, stop.clone())
            .context("reward_model.api")?;
        let path = folder.map(|folder| folder.join(FILE));
        let mut state = State {
            answers: HashMap::new(),
            file: None,
            spent: Spent::default(),
            asking: 0,
        };
        if let Some(path) = &path {
            state.file = Some(write::append_lines(path)?);
            for line in data::json_lines::<Line>(path)? {
                state.spent.calls += 1;
                state.spent.cost += line.tokens.map_or(0.0, |tokens| config.cost(tokens));
                state.answers.insert(line.key, (line.answer, line.refused));
            }
        }
        Ok(Self {
            config: config.clone(),
            remote,
            stop,
            full_image,
            longest_edge: longest_edge.map(|edge| u32::try_from(edge).unwrap_or(u32::MAX)),
            path,
            state: Mutex::new(state),
            answered: Condvar::new(),
        })
    }

    /// The model's name and its provider's address.
    pub fn name(&self) -> &str {
        self.remote.name()
    }

    /// What was asked so far.
    pub fn spent(&self) -> Spent {
        self.lock().spent
    }

    /// Its answers to a sample's question about the full image `shown` and each crop of `picture`, at the same time; `None`
    /// where it refused, or saw no picture at all (no box, and no full image either). Without a box it sees the full image
    /// alone.
    ///
    /// # Errors
    /// A budget that is used up ([`BudgetSpent`]), Ctrl-C, a question that no try had answered.
    pub fn answer(
        &self,
        (shown, picture): (&RgbImage, &RgbImage),
        boxes: &[Option<NormBox>],
        sample: &Sample,
    ) -> Result<Vec<Option<String>>> {
        // Drawn pixels have no file: a JPEG is made of them.
        let original = Original {
            file: &[],
            pixels: shown,
        };
        let view = self.remote.view(&original, self.longest_edge);
        let view = view.map_err(|why| self.failed(why))?;
        let one = |bbox: Option<NormBox>| {
            let crop = bbox.map(|bbox| crop(picture, Some(bbox)));
            let shown = match (&crop, self.full_image) {
                (Some(crop), true) => Shown::FullAnd(crop),
                (Some(crop), false) => Shown::Only(crop),
                (None, true) => Shown::Full,
                (None, false) => return Ok(None),
            };
            let request = self.remote.request(&view, shown, sample);
            let request = request.map_err(|why| self.failed(why))?;
            let (text, refused) = self.ask(&request, &sample.id, bbox)?;
            Ok((!refused).then_some(text))
        };
        at_once(boxes, |bbox| one(*bbox))
    }

    /// The answer to a request, from the file or from the provider.
    fn ask(&self, request: &Request, id: &str, bbox: Option<NormBox>) -> Result<(String, bool)> {
        let key = key(request);
        let mut state = self.lock();
        loop {
            if let Some(found) = state.answers.get(&key) {
                return Ok(found.clone());
            }
            if state.asking < self.config.parallel {
                break;
            }
            let waited = self.answered.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        self.check_budget(&state)?;
        state.asking += 1;
        drop(state);
        let found = self.remote.send(request);
        let mut state = self.lock();
        state.asking -= 1;
        self.answered.notify_all();
        let given = found.map_err(|why| self.failed(why))?;
        if given.tokens.is_none() && self.config.max_cost.is_some() {
            bail!(
                "reward_model.api: {} does not say how many tokens an answer took, so that max_cost cannot be kept; \
                 set max_calls in its place",
                self.name()
            );
        }
        state.spent.calls += 1;
        state.spent.cost += given.tokens.map_or(0.0, |tokens| self.config.cost(tokens));
        let line = Line {
            key: key.clone(),
            id: id.to_owned(),
            bbox,
            answer: given.text,
            refused: given.refused,
            tokens: given.tokens,
        };
        if let Some(file) = &mut state.file {
            let text = format!("{}\n", serde_json::to_string(&line)?);
            file.write_all(text.as_bytes()).with_context(|| {
                let path = self.path.as_deref().unwrap_or(Path::new(FILE));
                format!("{}: cannot be written (is the disk full?)", path.display())
            })?;
        }
        let answer = (line.answer, line.refused);
        state.answers.insert(key, answer.clone());
        Ok(answer)
    }

    fn check_budget(&self, state: &State) -> Result<()> {
        let spent = state.spent;
        let calls = spent.calls + state.asking as u64;
        if let Some(most) = self.config.max_calls
            && calls >= most
        {
            let spent = format!("the budget of {most} calls is used up");
            return Err(
                BudgetSpent(spent + "; a larger reward_model.api.max_calls goes on").into(),
            );
        }
        if let Some(most) = self.config.max_cost
            && spent.cost >= most
        {
            let spent = format!("the budget of {most} is used up by {} calls", spent.calls);
            return Err(BudgetSpent(spent + "; a larger reward_model.api.max_cost goes on").into());
        }
        Ok(())
    }

    fn failed(&self, why: NoAnswer) -> anyhow::Error {
        match why {
            NoAnswer::Stopped => self
                .stop
                .interrupted("stopped while the reward model was asked"),
            NoAnswer::Item(why) | NoAnswer::All(why) => anyhow!("{}: {why}", self.name()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells a request from others; headers, and so the key, are no part of it.
fn key(request: &Request) -> String {
    let hash = Sha256::new()
        .chain_update(&request.url)
        .chain_update([0])
        .chain_update(&request.body)
        .finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
