//! Mistral: chat completions, with two differences.
//!
//! `stream_options` is refused (422, "Extra inputs are not permitted"); usage comes with the last chunk unasked.
//! Errors have their words in `message`, or in `message.detail[0].msg`; an unknown model is 400 `invalid_model`.
//! Browsers are answered (CORS) as long as no header of one's own is sent. Format: docs.mistral.ai/api.

use crate::openai;
use crate::provider::Profile;

pub(crate) const PROFILE: Profile = Profile {
    id: "mistral",
    name: "Mistral",
    base_url: "https://api.mistral.ai/v1",
    model: "mistral-small-latest",
    key_page: Some("https://console.mistral.ai/api-keys"),
    prices_page: Some("https://mistral.ai/pricing#api-pricing"),
    stream_options: false,
    ..openai::PROFILE
};
