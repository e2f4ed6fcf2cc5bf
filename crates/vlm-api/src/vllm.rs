//! vLLM: chat completions from a server of one's own.
//!
//! Errors came as `{"object": "error", "message": ...}` in older versions, as OpenAI's in newer ones. With
//! `--api-key` the list of models wants the key as well. Format: docs.vllm.ai, "OpenAI-compatible server".

use crate::ollama;
use crate::provider::Profile;

pub(crate) const PROFILE: Profile = Profile {
    id: "vllm",
    name: "vLLM",
    base_url: "http://localhost:8000/v1",
    model: "Qwen/Qwen2.5-VL-3B-Instruct",
    check_proves_key: true,
    ..ollama::PROFILE
};
