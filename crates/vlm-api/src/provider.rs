//! Providers behind one interface: which there are, how each is asked, and how its replies are read.
//!
//! A [`Provider`] has a [`Profile`] (its defaults, in its own file) and speaks one of four [`Api`]s.

use crate::reply::{Draft, Reply, Step};
use crate::request::prompt_of;
use crate::{
    ApiError, Endpoint, Image, Key, Question, Request, anthropic, gemini, llamacpp, lmstudio,
    mistral, ollama, openai, openrouter, origin_of, other, responses, vllm,
};
use serde_json::Value;

/// Somebody who runs vision-language models and answers requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// OpenAI, chat completions.
    OpenAi,
    /// OpenAI, responses API.
    OpenAiResponses,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
    /// Mistral.
    Mistral,
    /// OpenRouter.
    OpenRouter,
    /// Ollama, on one's own computer.
    Ollama,
    /// LM Studio, on one's own computer.
    LmStudio,
    /// llama.cpp's server.
    LlamaCpp,
    /// vLLM.
    Vllm,
    /// Anybody else who speaks OpenAI's chat completions.
    Other,
}

/// The language of requests and replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Anthropic,
    /// Google's `streamGenerateContent`.
    Gemini,
}

/// Whether a provider wants a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Nothing works without.
    Needed,
    /// Only where its owner has set one.
    Optional,
}

/// What is known of a provider.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Short name for settings and tests.
    pub id: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// What it speaks.
    pub api: Api,
    /// Where it is, unless somebody says otherwise; empty where only they know.
    pub base_url: &'static str,
    /// A model that sees and costs little, as a start; empty where none is known.
    pub model: &'static str,
    /// Whether it wants a key.
    pub key: KeyUse,
    /// Whether it runs on one's own computer or network.
    pub local: bool,
    /// Where keys are made.
    pub key_page: Option<&'static str>,
    /// Where prices stand.
    pub prices_page: Option<&'static str>,
    /// Whether usage has to be asked for with `stream_options`.
    pub(crate) stream_options: bool,
    /// What is asked to test the connection.
    pub(crate) check_path: &'static str,
    /// Whether the answer to that proves the key.
    pub(crate) check_proves_key: bool,
}

impl Provider {
    /// All, in the order in which they are offered.
    pub const ALL: [Provider; 11] = [
        Provider::OpenAi,
        Provider::OpenAiResponses,
        Provider::Anthropic,
        Provider::Gemini,
        Provider::Mistral,
        Provider::OpenRouter,
        Provider::Ollama,
        Provider::LmStudio,
        Provider::LlamaCpp,
        Provider::Vllm,
        Provider::Other,
    ];

    /// Its defaults.
    pub fn profile(self) -> &'static Profile {
        match self {
            Provider::OpenAi => &openai::PROFILE,
            Provider::OpenAiResponses => &responses::PROFILE,
            Provider::Anthropic => &anthropic::PROFILE,
            Provider::Gemini => &gemini::PROFILE,
            Provider::Mistral => &mistral::PROFILE,
            Provider::OpenRouter => &openrouter::PROFILE,
            Provider::Ollama => &ollama::PROFILE,
            Provider::LmStudio => &lmstudio::PROFILE,
            Provider::LlamaCpp => &llamacpp::PROFILE,
            Provider::Vllm => &vllm::PROFILE,
            Provider::Other => &other::PROFILE,
        }
    }

    /// By [`Profile::id`].
    pub fn from_id(id: &str) -> Option<Provider> {
        Provider::ALL.into_iter().find(|p| p.profile().id == id)
    }

    /// Whether nothing works without a key at this address. OpenAI's two languages are spoken by servers of other
    /// people, which may want none: there only OpenAI's own address needs one.
    pub fn needs_key(self, base_url: &str) -> bool {
        let profile = self.profile();
        let spoken_elsewhere = matches!(self, Provider::OpenAi | Provider::OpenAiResponses);
        let own = || {
            let asked = origin_of(base_url.trim());
            asked.eq_ignore_ascii_case(origin_of(profile.base_url))
        };
        profile.key == KeyUse::Needed && (!spoken_elsewhere || own())
    }

    /// The request that asks a question about a picture and, where there is one, its crop; the answer is to be
    /// streamed.
    ///
    /// # Errors
    /// [`ApiError::BaseUrl`], [`ApiError::NoModel`], [`ApiError::NoQuestion`].
    pub fn request(
        self,
        endpoint: &Endpoint,
        question: &Question<'_>,
    ) -> Result<Request, ApiError> {
        self.prompt_request(endpoint, &question.images(), &prompt_of(question))
    }

    /// The request that shows pictures and says any text.
    ///
    /// # Errors
    /// As [`Provider::request`].
    pub fn prompt_request(
        self,
        endpoint: &Endpoint,
        images: &[Image<'_>],
        prompt: &str,
    ) -> Result<Request, ApiError> {
        let profile = self.profile();
        match profile.api {
            Api::Chat => openai::chat_request(endpoint, images, prompt, profile.stream_options),
            Api::Responses => responses::request(endpoint, images, prompt),
            Api::Anthropic => anthropic::request(endpoint, images, prompt),
            Api::Gemini => gemini::request(endpoint, images, prompt),
        }
    }

    /// A reader for the reply.
    pub fn reply(self, status: u16, retry_after: Option<&str>, key: &Key) -> Reply {
        Reply::of(self.profile().api, status, retry_after, key)
    }
}

impl Api {
    /// What an event of a stream adds to the answer.
    pub(crate) fn take_event(self, data: &Value, draft: &mut Draft) -> Step {
        match self {
            Api::Chat => openai::take_event(data, draft),
            Api::Responses => responses::take_event(data, draft),
            Api::Anthropic => anthropic::take_event(data, draft),
            Api::Gemini => gemini::take_event(data, draft),
        }
    }

    /// What a reply in one piece says; the error names what it lacks.
    pub(crate) fn take_whole(self, body: &Value, draft: &mut Draft) -> Result<(), &'static str> {
        match self {
            Api::Chat => openai::take_whole(body, draft),
            Api::Responses => responses::take_whole(body, draft),
            Api::Anthropic => anthropic::take_whole(body, draft),
            Api::Gemini => gemini::take_whole(body, draft),
        }
    }
}
