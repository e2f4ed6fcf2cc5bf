//! OpenRouter: chat completions for the models of many makers.
//!
//! Comments (`: OPENROUTER PROCESSING`) keep the stream alive; `usage` comes with `cost`, the money itself; an error
//! inside the stream stands beside an empty choice; no credit is 402. The list of models is public, so the key is
//! tested by asking what is known of the key. The headers that name the asking site are left out: they would tell
//! OpenRouter's public ranking where this page lives. Format: openrouter.ai/docs/api-reference.

use crate::openai;
use crate::provider::Profile;

pub(crate) const PROFILE: Profile = Profile {
    id: "openrouter",
    name: "OpenRouter",
    base_url: "https://openrouter.ai/api/v1",
    model: "google/gemini-3.5-flash-lite",
    key_page: Some("https://openrouter.ai/settings/keys"),
    prices_page: Some("https://openrouter.ai/models"),
    check_path: "/key",
    ..openai::PROFILE
};
