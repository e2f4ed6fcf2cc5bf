//! The target VLM: a model that nobody here trains, which gets pictures and a question and answers.
//!
//! Two kinds behind one face ([`Answering`]): a model folder on this machine ([`local`]), and a provider
//! over the network ([`remote`]). The pictures come as in the paper, full image first, then the crop.

mod local;
mod remote;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser};
use grounding::{Case, Sample};
use picture::RgbImage;
use vlm_api::{ApiError, Endpoint, Key, KeyUse, Provider};

use crate::device::DeviceKind;
use crate::http::{Failure, Http, HttpSettings};
use crate::stop::Stop;

pub use local::Local;
pub use remote::Remote;

/// Which target, and how it is asked.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Target VLM")]
pub struct TargetArgs {
    /// Let this model answer: a Hugging Face folder of an Idefics3 model, such as SmolVLM-256M-Instruct
    #[arg(long, value_name = "DIR", conflicts_with = "target_model")]
    target: Option<PathBuf>,
    /// Base URL of a provider [default: the provider's own, https://api.openai.com/v1 for openai]
    #[arg(long, value_name = "URL", requires = "target_model")]
    target_url: Option<String>,
    /// Let a provider's model answer: its name there
    #[arg(long, value_name = "NAME")]
    target_model: Option<String>,
    /// Environment variable that holds the key [default: no key is sent]
    #[arg(long, value_name = "VAR", requires = "target_model")]
    target_key_env: Option<String>,
    /// Who is asked, and so how: openai is OpenAI and everybody who speaks its chat completions
    #[arg(long, default_value = "openai", requires = "target_model", value_parser = provider_ids())]
    provider: String,
    /// Ask the question in its own letters instead of capitalising as the CropVLM reference does
    #[arg(long)]
    target_keep_case: bool,
    /// Tokens of an answer at most (model folders; a provider has limits of its own)
    #[arg(long, value_name = "N", default_value_t = 32)]
    target_max_tokens: usize,
    /// Questions that a provider is asked at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Seconds that a provider has for one answer
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
    target_timeout: u32,
    /// Tries of one question before it counts as an error
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    target_tries: u32,
}

/// What `--provider` may say.
pub fn provider_ids() -> PossibleValuesParser {
    let value = |p: Provider| PossibleValue::new(p.profile().id).help(p.profile().name);
    Provider::ALL.map(value).into()
}

/// The provider of an id that [`provider_ids`] let through.
pub fn provider(id: &str) -> Provider {
    Provider::from_id(id).unwrap_or(Provider::OpenAi)
}

/// The environment variable that usually holds a provider's key; `None`: it runs without one. A key goes
/// to its own provider only.
pub fn key_variable(provider: Provider) -> Option<String> {
    let profile = provider.profile();
    let whose = profile.id.split('-').next().unwrap_or(profile.id);
    (profile.key == KeyUse::Needed).then(|| format!("{}_API_KEY", whose.to_uppercase()))
}

/// A provider's model, and how patiently it is asked.
#[derive(Debug, Clone)]
pub struct RemoteSettings {
    /// Who is asked, and so how.
    pub provider: Provider,
    /// Base URL; `None`: the provider's own.
    pub url: Option<String>,
    /// The model's name there.
    pub model: String,
    /// Environment variable that holds the key; `None`: no key is sent.
    pub key_env: Option<String>,
    /// For one answer.
    pub timeout: Duration,
    /// Of one question.
    pub tries: u32,
}

impl RemoteSettings {
    /// Makes ready to ask; nothing is sent yet.
    ///
    /// # Errors
    /// A variable without a key, an address, a name or a key that cannot be one.
    pub fn open(self, case: Case, stop: Stop) -> Result<Remote> {
        let key = match &self.key_env {
            None => Key::default(),
            Some(name) => match std::env::var(name) {
                Ok(key) => Key::new(&key)
                    .map_err(|e: ApiError| anyhow::anyhow!("environment variable {name}: {e}"))?,
                Err(_) => bail!(
                    "environment variable {name} is not set: it should hold the provider's key"
                ),
            },
        };
        let usual = self.provider.profile().base_url;
        let endpoint = Endpoint {
            base_url: self.url.unwrap_or_else(|| usual.into()),
            model: self.model,
            key,
        };
        let settings = HttpSettings {
            timeout: self.timeout,
            tries: self.tries,
            ..HttpSettings::default()
        };
        let http = Http::new(settings, stop);
        Ok(Remote::new(endpoint, self.provider, case, http)?)
    }
}

/// What the target is shown.
#[derive(Clone, Copy)]
pub enum Shown<'a> {
    /// The full image.
    Full,
    /// The full image, then this crop.
    FullAnd(&'a RgbImage),
    /// This crop alone.
    Only(&'a RgbImage),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Given {
    /// What was written, empty where nothing was.
    pub text: String,
    /// Whether the provider itself marks it as a refusal.
    pub refused: bool,
    /// Tokens of prompt and answer, where they are known.
    pub tokens: Option<(u64, u64)>,
    /// log p of the accepted answer (nats, as `cropvlm score` prints it), where the target can say.
    pub logprob: Option<f64>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The person pressed Ctrl-C.
    Stopped,
    /// This question cannot be answered; the next one may be.
    Item(String),
    /// No question would be answered.
    All(String),
}

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Stopped => Self::Stopped,
            failure if failure.concerns_all() => Self::All(failure.to_string()),
            failure => Self::Item(failure.to_string()),
        }
    }
}

/// A full image as it lies on disk and as it was decoded.
pub struct Original<'a> {
    /// The file.
    pub file: &'a [u8],
    /// Its pixels, upright.
    pub pixels: &'a RgbImage,
}

/// Something that answers questions about pictures.
pub trait Answering {
    /// A full image that the target has been given, good for any number of questions.
    type View<'a>
    where
        Self: 'a;

    /// Gives the target a full image. `longest_edge` in pixels bounds every picture that it sees.
    ///
    /// # Errors
    /// A picture that the target cannot take.
    fn view<'a>(
        &'a self,
        original: &'a Original<'a>,
        longest_edge: Option<u32>,
    ) -> Result<Self::View<'a>, NoAnswer>;

    /// Asks a sample's question about it. Its answers are for the likelihood only.
    ///
    /// # Errors
    /// [`NoAnswer`].
    fn answer(
        &self,
        view: &Self::View<'_>,
        shown: Shown<'_>,
        sample: &Sample,
    ) -> Result<Given, NoAnswer>;
}

/// A target that is ready.
pub enum Target {
    /// On this machine.
    Local(Box<Local>),
    /// Over the network, with how many questions at the same time.
    Remote(Box<Remote>, usize),
}

impl TargetArgs {
    /// Whether one is named.
    pub fn is_given(&self) -> bool {
        self.target.is_some() || self.target_model.is_some()
    }

    fn case(&self) -> Case {
        if self.target_keep_case {
            Case::Keep
        } else {
            Case::Capitalize
        }
    }

    /// Loads the model, or makes ready to ask the provider; `None` where no target is named.
    ///
    /// # Errors
    /// A model folder that cannot be loaded, an address or key that cannot be one.
    pub fn open(&self, device: DeviceKind, stop: Stop) -> Result<Option<Target>> {
        if let Some(dir) = &self.target {
            let local = Local::open(dir, device, self.case(), self.target_max_tokens, stop)?;
            return Ok(Some(Target::Local(Box::new(local))));
        }
        let Some(model) = &self.target_model else {
            return Ok(None);
        };
        let remote = RemoteSettings {
            provider: provider(&self.provider),
            url: self.target_url.clone(),
            model: model.clone(),
            key_env: self.target_key_env.clone(),
            timeout: Duration::from_secs(self.target_timeout.into()),
            tries: self.target_tries,
        };
        let remote = remote.open(self.case(), stop).context("--target-url")?;
        Ok(Some(Target::Remote(Box::new(remote), self.parallel.into())))
    }
}

/// A target's name, with what changes its answers: those in other letters are another's.
fn full_name(name: &str, case: Case) -> String {
    match case {
        Case::Capitalize => name.to_owned(),
        Case::Keep => format!("{name}, case kept"),
    }
}

impl Target {
    /// What tells this target from others: its folder, or the model's name and its provider's address.
    pub fn name(&self) -> &str {
        match self {
            Self::Local(local) => local.name(),
            Self::Remote(remote, _) => remote.name(),
        }
    }
}
