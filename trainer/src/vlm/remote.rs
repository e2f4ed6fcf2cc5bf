//! A target over the network.
//!
//! What is sent: the full image as its file where that is an upright JPEG or PNG, otherwise a JPEG of it; the
//! crop as PNG, so that its pixels are those of the original, or as JPEG where that would be far larger. With
//! a longest edge, pictures beyond it are shrunk (never enlarged), the crop after it was cut from the original.

use std::sync::OnceLock;

use anyhow::Result;
use grounding::{Case, Sample};
use picture::{Filter, RgbImage};
use vlm_api::{ApiError, Endpoint, Image, MediaType, Provider, Question, Request};

use super::{Answering, Given, NoAnswer, Original, Shown, full_name};
use crate::http::{Failure, Http};

/// Quality of JPEGs that are made here: no visible loss in small print.
const QUALITY: u8 = 95;
/// A crop whose PNG has more bytes becomes a JPEG.
const MAX_PNG: usize = 3 << 20;

/// A provider's model.
pub struct Remote {
    endpoint: Endpoint,
    provider: Provider,
    case: Case,
    http: Http,
    name: String,
}

/// A full image, made ready when the first question needs it.
pub struct RemoteView<'a> {
    original: &'a Original<'a>,
    longest_edge: Option<u32>,
    file: OnceLock<Encoded>,
}

type Encoded = (MediaType, Vec<u8>);

impl Remote {
    /// A model at an address.
    ///
    /// # Errors
    /// An address or a name that cannot be one.
    pub fn new(
        endpoint: Endpoint,
        provider: Provider,
        case: Case,
        http: Http,
    ) -> Result<Self, ApiError> {
        // A request that is not sent shows whether one could be.
        let pixel = Image {
            media_type: MediaType::Png,
            bytes: b"",
        };
        let probe = Question {
            text: "?",
            case,
            image: pixel,
            crop: None,
        };
        let origin = provider.request(&endpoint, &probe)?.origin().to_owned();
        Ok(Self {
            name: full_name(&format!("{} at {origin}", endpoint.model.trim()), case),
            endpoint,
            provider,
            case,
            http,
        })
    }

    /// The model's name and its provider's address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is sent for a sample's question about a full image.
    ///
    /// # Errors
    /// A picture that cannot be encoded, a question that cannot be asked.
    pub fn request(
        &self,
        view: &RemoteView<'_>,
        shown: Shown<'_>,
        sample: &Sample,
    ) -> Result<Request, NoAnswer> {
        let edge = view.longest_edge;
        let crop = match shown {
            Shown::Full => None,
            Shown::FullAnd(crop) | Shown::Only(crop) => Some(crop_file(crop, edge)?),
        };
        let full = match (shown, view.file.get()) {
            (Shown::Only(_), _) => None,
            (_, Some(file)) => Some(file),
            (_, None) => {
                let file = full_file(view.original, edge)?;
                Some(view.file.get_or_init(|| file))
            }
        };
        let (image, crop) = match (full, &crop) {
            (Some(full), crop) => (image(full), crop.as_ref().map(image)),
            (None, Some(crop)) => (image(crop), None),
            (None, None) => return Err(NoAnswer::Item("no picture to send".to_owned())),
        };
        let asked = Question {
            text: &sample.question,
            case: self.case,
            image,
            crop,
        };
        let request = self.provider.request(&self.endpoint, &asked);
        request.map_err(|error| match error {
            ApiError::NoQuestion => NoAnswer::Item(error.to_string()),
            other => NoAnswer::All(other.to_string()),
        })
    }

    /// Sends it, and waits for the answer.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn send(&self, request: &Request) -> Result<Given, NoAnswer> {
        match self.http.ask(self.provider, request, &self.endpoint.key) {
            Ok(answer) => Ok(Given {
                text: answer.text.trim().to_owned(),
                refused: answer.refused
                    || answer.finish_reason.as_deref() == Some("content_filter"),
                tokens: answer.usage.map(|u| (u.prompt_tokens, u.completion_tokens)),
                logprob: None,
            }),
            // An empty answer is an answer of a kind, thoughts alone are none: counted, not an error.
            Err(Failure::Api(ApiError::NoText { .. } | ApiError::OnlyThought { .. })) => {
                Ok(Given::default())
            }
            Err(Failure::Api(error)) if is_filter(&error) => Ok(Given {
                text: error.to_string(),
                refused: true,
                tokens: None,
                logprob: None,
            }),
            Err(failure) => Err(failure.into()),
        }
    }
}

impl Answering for Remote {
    type View<'a> = RemoteView<'a>;

    fn view<'a>(
        &'a self,
        original: &'a Original<'a>,
        longest_edge: Option<u32>,
    ) -> Result<RemoteView<'a>, NoAnswer> {
        Ok(RemoteView {
            original,
            longest_edge,
            file: OnceLock::new(),
        })
    }

    fn answer(
        &self,
        view: &RemoteView<'_>,
        shown: Shown<'_>,
        sample: &Sample,
    ) -> Result<Given, NoAnswer> {
        self.send(&self.request(view, shown, sample)?)
    }
}

/// Some providers put a refusal into a status: the request was understood, its content not wanted.
fn is_filter(error: &ApiError) -> bool {
    let (ApiError::BadRequest { message, .. } | ApiError::Forbidden { message }) = error else {
        return false;
    };
    let message = message.to_lowercase();
    [
        "content_filter",
        "content filter",
        "content management policy",
        "content policy",
        "moderation",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn image((media_type, bytes): &Encoded) -> Image<'_> {
    Image {
        media_type: *media_type,
        bytes,
    }
}

fn encoding(error: picture::PictureError) -> NoAnswer {
    NoAnswer::Item(error.to_string())
}

fn full_file(original: &Original<'_>, edge: Option<u32>) -> Result<Encoded, NoAnswer> {
    let small = shrunk(original.pixels, edge);
    // Not every provider turns a picture, or puts what is see-through on the colour that the policy saw.
    let plain = || picture::decode_with_notes(original.file).is_ok_and(|it| it.is_plain());
    match (small, MediaType::of(original.file)) {
        (None, Some(kind @ (MediaType::Jpeg | MediaType::Png))) if plain() => {
            Ok((kind, original.file.to_vec()))
        }
        (small, _) => jpeg(small.as_ref().unwrap_or(original.pixels)),
    }
}

fn crop_file(crop: &RgbImage, edge: Option<u32>) -> Result<Encoded, NoAnswer> {
    let small = shrunk(crop, edge);
    let crop = small.as_ref().unwrap_or(crop);
    let png = picture::encode_png(crop).map_err(encoding)?;
    if png.len() > MAX_PNG {
        return jpeg(crop);
    }
    Ok((MediaType::Png, png))
}

fn jpeg(picture: &RgbImage) -> Result<Encoded, NoAnswer> {
    let file = picture::encode_jpeg(picture, QUALITY).map_err(encoding)?;
    Ok((MediaType::Jpeg, file))
}

/// The picture with its longest edge at `edge`; `None` where it is no longer than that.
fn shrunk(picture: &RgbImage, edge: Option<u32>) -> Option<RgbImage> {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    let edge = edge.filter(|&edge| edge < longest)?;
    let side = |side: u32| {
        let small = f64::from(side) * f64::from(edge) / f64::from(longest);
        (small.round() as u32).max(1)
    };
    Some(picture::resize(
        picture,
        side(width),
        side(height),
        Filter::Lanczos,
    ))
}
