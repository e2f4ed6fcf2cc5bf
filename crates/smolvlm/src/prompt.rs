//! Tokenizer, chat template and image place holders: text and tile grids to token ids, and back.
//!
//! The chat template is not rendered with a template engine, which would cost the page some
//! hundred kilobytes for one fixed sentence. Instead the folder's template is compared with the
//! one that all Idefics3 checkpoints share (they differ in the first token only), and a folder
//! with another is refused.
//!
//! Departure from transformers: special tokens written out inside a question (`<image>`,
//! `<end_of_utterance>`) are plain text here. There they would break the prompt.

use serde::Deserialize;
use tensors::ModelFiles;
use tokenizers::Tokenizer;

use crate::config::{Config, OneOrMany};
use crate::error::{Result, SmolVlmError};
use crate::image::Pictures;

/// What follows the first token in the chat template of every Idefics3 checkpoint.
const TEMPLATE: &str = "{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

/// What SmolVLM2's templates add, which changes nothing for pictures and text in a list: videos, and messages that are
/// plain text.
const ADDED: [&str; 3] = [
    "{% elif line['type'] == 'video' %}{{ '<video>' }}",
    "{% if message['content'] is string %}{{': ' + message['content']}}{% else %}",
    "{% endif %}<end_of_utterance>",
];

/// A chat template without what SmolVLM2's add.
fn plain_template(template: &str) -> String {
    let [video, text, end] = ADDED;
    let template = template.trim_end().replace(video, "");
    match template.contains(text) {
        true => template
            .replace(text, "")
            .replace(end, "<end_of_utterance>"),
        false => template,
    }
}

const TOKENIZER: &str = "tokenizer.json";

#[derive(Deserialize, Default)]
struct ProcessorFile {
    image_seq_len: Option<usize>,
}

#[derive(Deserialize, Default)]
struct TemplateFile {
    chat_template: Option<String>,
}

#[derive(Deserialize, Default)]
struct GenerationFile {
    eos_token_id: Option<OneOrMany>,
}

/// Ids of the special tokens that a prompt is made of.
#[derive(Debug, Clone)]
struct Special {
    first: u32,
    image: u32,
    around: u32,
    global: u32,
    end: u32,
}

/// Text to token ids and back, in the form of Idefics3's processor.
#[derive(Debug, Clone)]
pub struct Prompts {
    tokenizer: Tokenizer,
    special: Special,
    stop: Vec<u32>,
    tokens_per_tile: usize,
}

fn tokenizer_error(message: impl ToString) -> SmolVlmError {
    SmolVlmError::Tokenizer {
        message: message.to_string(),
    }
}

impl Prompts {
    /// Reads `tokenizer.json`, the chat template (`chat_template.json`, `chat_template.jinja` or
    /// `tokenizer_config.json`; without any, the known one), `processor_config.json` and
    /// `generation_config.json` where there are such. `tile` is the side of a tile in pixels.
    ///
    /// # Errors
    /// A missing or unreadable tokenizer, a missing special token, another chat template, or a
    /// number of image tokens that does not follow from `config.json`.
    pub fn from_files(files: &ModelFiles, config: &Config, tile: usize) -> Result<Self> {
        let mut tokenizer =
            Tokenizer::from_bytes(files.get(TOKENIZER)?).map_err(tokenizer_error)?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(tokenizer_error)?;
        tokenizer.set_encode_special_tokens(true);

        let id = |token: &str| {
            let found = tokenizer.token_to_id(token);
            found.ok_or_else(|| tokenizer_error(format!("the token {token} is missing")))
        };
        let special = Special {
            first: id(&first_token(files)?)?,
            image: id("<image>")?,
            around: id("<fake_token_around_image>")?,
            global: id("<global-img>")?,
            end: id("<end_of_utterance>")?,
        };
        if special.image != config.image_token_id {
            return Err(SmolVlmError::Unsupported {
                file: "config.json".to_string(),
                item: "image_token_id".to_string(),
                expected: format!("tokenizer.json has <image> at {}", special.image),
                actual: config.image_token_id.to_string(),
            });
        }
        let size = tokenizer.get_vocab_size(true);
        if size > config.text.vocab_size {
            return Err(tokenizer_error(format!(
                "it has {size} tokens, but config.json has a vocab_size of {}",
                config.text.vocab_size
            )));
        }
        Ok(Self {
            stop: stop_tokens(files, config, special.end)?,
            tokens_per_tile: tokens_per_tile(files, config, tile)?,
            special,
            tokenizer,
        })
    }

    /// Image tokens of one tile.
    pub fn tokens_per_tile(&self) -> usize {
        self.tokens_per_tile
    }

    /// Tokens at which a completion ends.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop
    }

    /// The token that closes every message, `<end_of_utterance>`.
    pub fn end_token(&self) -> u32 {
        self.special.end
    }

    /// Ids of plain text; special tokens in it are not recognised.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(tokenizer_error)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of ids, special tokens left out. Bytes that make no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`].
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(ids, true).map_err(tokenizer_error)
    }

    /// Ids as they are sent, special tokens included, with runs of image tokens counted: for showing.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`].
    pub fn show(&self, ids: &[u32]) -> Result<String> {
        let mut text = String::new();
        for run in ids.chunk_by(|a, b| (*a == self.special.image) == (*b == self.special.image)) {
            if run[0] == self.special.image {
                text.push_str(&format!("<image> × {}", run.len()));
            } else {
                let shown = self.tokenizer.decode(run, false).map_err(tokenizer_error)?;
                text.push_str(&shown);
            }
        }
        Ok(text)
    }

    /// A prompt as the decoder reads it, for showing: what it read of pictures, then the text of the user's message.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`].
    pub fn show_prompt(&self, head: &[u32], text: &str) -> Result<String> {
        let mut ids = head.to_vec();
        ids.extend(self.tail(text)?);
        self.show(&ids)
    }

    /// The prompt's first part, which depends on the pictures only: `<|im_start|>User:` and the
    /// place holders of all pictures in their order.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`], also where the vocabulary lacks a tile's position token.
    pub fn head(&self, pictures: &Pictures) -> Result<Vec<u32>> {
        let mut ids = vec![self.special.first];
        ids.extend(self.encode("User:")?);
        for &(rows, columns) in &pictures.grids {
            for row in 1..=rows {
                for column in 1..=columns {
                    let token = format!("<row_{row}_col_{column}>");
                    let position = self
                        .tokenizer
                        .token_to_id(&token)
                        .ok_or_else(|| tokenizer_error(format!("the token {token} is missing")))?;
                    self.push_tile(position, &mut ids);
                }
                // The last row's newline meets the one before the global image: one token.
                let last = row == rows;
                ids.extend(self.encode(if last { "\n\n" } else { "\n" })?);
            }
            self.push_tile(self.special.global, &mut ids);
            ids.push(self.special.around);
        }
        Ok(ids)
    }

    fn push_tile(&self, position: u32, ids: &mut Vec<u32>) {
        ids.extend([self.special.around, position]);
        ids.extend(std::iter::repeat_n(
            self.special.image,
            self.tokens_per_tile,
        ));
    }

    /// The prompt's second part: the text, the end of the user's message, and `Assistant:`.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`].
    pub fn tail(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(text)?;
        ids.push(self.special.end);
        ids.extend(self.encode("\nAssistant:")?);
        Ok(ids)
    }

    /// A completion as the assistant's message has it: a space, the text, `<end_of_utterance>`.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`].
    pub fn completion(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(&format!(" {text}"))?;
        ids.push(self.special.end);
        Ok(ids)
    }
}

/// The literal that the chat template begins with.
fn first_token(files: &ModelFiles) -> Result<String> {
    const PLACES: [&str; 2] = ["chat_template.json", "tokenizer_config.json"];
    const JINJA: &str = "chat_template.jinja";
    let mut found = None;
    if files.contains(JINJA) {
        let text = String::from_utf8_lossy(files.get(JINJA)?).into_owned();
        found = Some((JINJA, text));
    }
    for file in PLACES {
        if found.is_none() && files.contains(file) {
            found = files
                .json::<TemplateFile>(file)?
                .chat_template
                .map(|template| (file, template));
        }
    }
    let Some((file, template)) = found else {
        return Ok("<|im_start|>".to_string());
    };
    match plain_template(&template).strip_suffix(TEMPLATE) {
        Some(first) if !first.is_empty() && !first.contains('{') => Ok(first.to_string()),
        _ => Err(SmolVlmError::Unsupported {
            file: file.to_string(),
            item: "chat_template".to_string(),
            expected: "only the template of the Idefics3 and SmolVLM checkpoints is implemented"
                .to_string(),
            actual: "another one".to_string(),
        }),
    }
}

/// `<end_of_utterance>`, and what the folder names besides.
fn stop_tokens(files: &ModelFiles, config: &Config, end: u32) -> Result<Vec<u32>> {
    const FILE: &str = "generation_config.json";
    let named = if files.contains(FILE) {
        files.json::<GenerationFile>(FILE)?.eos_token_id
    } else {
        None
    };
    let mut stop = match named {
        Some(ids) => Vec::from(ids),
        None => config.text.eos_token_id.clone(),
    };
    if !stop.contains(&end) {
        stop.push(end);
    }
    Ok(stop)
}

fn tokens_per_tile(files: &ModelFiles, config: &Config, tile: usize) -> Result<usize> {
    const FILE: &str = "processor_config.json";
    let side = tile / config.vision.patch_size;
    if !tile.is_multiple_of(config.vision.patch_size) || !side.is_multiple_of(config.scale_factor) {
        return Err(SmolVlmError::Unsupported {
            file: "preprocessor_config.json".to_string(),
            item: "max_image_size.longest_edge".to_string(),
            expected: format!(
                "it has to be a multiple of patch_size x scale_factor = {}",
                config.vision.patch_size * config.scale_factor
            ),
            actual: tile.to_string(),
        });
    }
    let tokens = (side / config.scale_factor).pow(2);
    if files.contains(FILE)
        && let Some(named) = files.json::<ProcessorFile>(FILE)?.image_seq_len
        && named != tokens
    {
        return Err(SmolVlmError::Unsupported {
            file: FILE.to_string(),
            item: "image_seq_len".to_string(),
            expected: format!("the network makes {tokens} image tokens of a tile"),
            actual: named.to_string(),
        });
    }
    Ok(tokens)
}
