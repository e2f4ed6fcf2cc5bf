//! The reward model: a frozen reader that is asked about many crops of one picture.
//!
//! ```text
//! full image -> tiles -> tokens -> the decoder has read it     once a picture
//! crops      -> tiles -> tokens -+
//! question, answer --------------+-> rows of one batch -> log p(answer) | greedy answers
//! ```
//!
//! What a row computes is what `score` and `answer` compute for its crop alone. For the paper's ablation the
//! full image can be left out: then the decoder has read nothing before the crop.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use grounding::prompt::answer_prompt;
use grounding::{Case, NormBox};
use picture::RgbImage;
use pollster::block_on;
use smolvlm::{Grid, KvCache, ModelFiles, Precision, SmolVlm};

/// A frozen reader.
pub struct RewardModel {
    model: SmolVlm,
    case: Case,
    longest_edge: Option<usize>,
    full_image: bool,
}

/// A picture that the reader has seen whole, good for any number of crops and questions.
pub struct FullImage<'a> {
    picture: &'a RgbImage,
    /// What stands before a crop: nothing where the full image is left out.
    grids: Vec<Grid>,
    /// What the decoder has read, shared by all rows.
    cache: KvCache,
}

/// Crops of one picture, encoded, good for any number of questions.
pub struct Crops {
    heads: Vec<Vec<u32>>,
    /// Image tokens, crop by crop, [tokens, hidden].
    images: Vec<Tensor<2>>,
}

impl RewardModel {
    /// Loads a Hugging Face folder of an Idefics3 model. `longest_edge` in pixels bounds what it gets
    /// to see of each picture; `None` makes one tile of it.
    ///
    /// # Errors
    /// A folder that holds another kind of model, or a broken one.
    pub fn load(
        dir: &Path,
        device: &Device,
        case: Case,
        longest_edge: Option<usize>,
    ) -> Result<Self> {
        super::require_text_model(dir, "a reward model")?;
        let model = SmolVlm::load(&ModelFiles::from_dir(dir)?, device)
            .with_context(|| format!("reward model {}", dir.display()))?;
        Ok(Self::new(model, case, longest_edge))
    }

    /// The same reader with its weights in another precision; log-probabilities stay f32.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.model = self.model.with_precision(precision);
        self
    }

    /// Takes a model that is there already.
    pub fn new(model: SmolVlm, case: Case, longest_edge: Option<usize>) -> Self {
        Self {
            model,
            case,
            longest_edge,
            full_image: true,
        }
    }

    /// Whether the full image is shown before a crop, as in the paper.
    pub fn with_full_image(mut self, shown: bool) -> Self {
        self.full_image = shown;
        self
    }

    /// Encodes and reads the full image.
    ///
    /// # Errors
    /// A longest edge that the model does not take.
    pub fn encode<'a>(&self, picture: &'a RgbImage) -> Result<FullImage<'a>> {
        self.encode_as(picture, picture)
    }

    /// As [`RewardModel::encode`] where the full image is shown as `shown`, smaller, say; crops are cut from `picture`.
    ///
    /// # Errors
    /// As [`RewardModel::encode`].
    pub fn encode_as<'a>(&self, shown: &RgbImage, picture: &'a RgbImage) -> Result<FullImage<'a>> {
        if !self.full_image {
            return Ok(FullImage {
                picture,
                grids: Vec::new(),
                cache: self.model.net.text_model.empty_cache(),
            });
        }
        let tiles = self.model.pictures(&[shown], self.longest_edge)?;
        let tokens = self.model.encode(&tiles); // [image tokens, hidden]
        let ids = self.model.head_of(&tiles.grids)?;
        let mut cache = self.model.net.text_model.empty_cache();
        self.model.read_rows(&mut cache, &[ids], Some(&tokens))?;
        Ok(FullImage {
            picture,
            grids: tiles.grids,
            cache: cache.share(),
        })
    }

    /// Cuts and encodes the crops, all in one pass.
    ///
    /// # Errors
    /// A longest edge that the model does not take.
    pub fn crops(&self, full: &FullImage, boxes: &[Option<NormBox>]) -> Result<Crops> {
        let crops: Vec<RgbImage> = boxes.iter().map(|b| crop(full.picture, *b)).collect();
        self.encoded(full, &crops)
    }

    /// Encodes pictures to be read each by itself, without a full image before it.
    ///
    /// # Errors
    /// A longest edge that the model does not take.
    pub fn alone<'a>(&self, pictures: &'a [RgbImage]) -> Result<(FullImage<'a>, Crops)> {
        let picture = pictures.first().context("there is no picture to read")?;
        let nothing = FullImage {
            picture,
            grids: Vec::new(),
            cache: self.model.net.text_model.empty_cache(),
        };
        let encoded = self.encoded(&nothing, pictures)?;
        Ok((nothing, encoded))
    }

    /// Pictures that come after what has been read.
    fn encoded(&self, full: &FullImage, crops: &[RgbImage]) -> Result<Crops> {
        let crops: Vec<&RgbImage> = crops.iter().collect();
        let tiles = self.model.pictures(&crops, self.longest_edge)?;
        let tokens = self.model.encode(&tiles); // [image tokens of all crops, hidden]
        // Where nothing stands before the crops, the prompt's beginning is theirs.
        let before = match full.grids.as_slice() {
            [] => 0,
            grids => self.model.head_of(grids)?.len(),
        };
        let per_tile = tokens.dims()[0] / tiles.tiles();
        let mut found = Crops {
            heads: Vec::new(),
            images: Vec::new(),
        };
        let mut start = 0;
        for grid in &tiles.grids {
            let head = self.model.head_of(&[&full.grids[..], &[*grid]].concat())?;
            found.heads.push(head[before..].to_vec());
            let count = (grid.0 * grid.1 + 1) * per_tile;
            found.images.push(tokens.clone().narrow(0, start, count));
            start += count;
        }
        Ok(found)
    }

    /// Log-probabilities of the target's tokens, closing token included, for every crop: what
    /// `cropvlm score` prints. An invalid box (`None`) gets a crop of 2 x 2 pixels, as in the reference.
    ///
    /// # Errors
    /// A prompt too long for the model; a failed device.
    pub fn score(
        &self,
        full: &FullImage,
        boxes: &[Option<NormBox>],
        question: &str,
        target: &str,
    ) -> Result<Vec<Vec<f32>>> {
        self.score_crops(full, &self.crops(full, boxes)?, question, target)
    }

    /// [`RewardModel::score`] of crops that are encoded already.
    ///
    /// # Errors
    /// As [`RewardModel::score`].
    pub fn score_crops(
        &self,
        full: &FullImage,
        crops: &Crops,
        question: &str,
        target: &str,
    ) -> Result<Vec<Vec<f32>>> {
        let tail = self
            .model
            .prompts()
            .tail(&answer_prompt(question, self.case))?;
        let target = self.model.prompts().completion(target)?;
        let rows: Vec<Vec<u32>> = crops
            .heads
            .iter()
            .map(|head| [head, tail.as_slice(), target.as_slice()].concat())
            .collect();
        let images = Tensor::cat(crops.images.clone(), 0);
        let mut cache = full.cache.clone();
        let states = self.model.read_rows(&mut cache, &rows, Some(&images))?; // [N, T, hidden]
        let targets = vec![target; rows.len()];
        let log_probs = self.model.row_log_probs(states, &rows, &targets); // [N, A]
        let each: Vec<f32> = block_on(smolvlm::read(log_probs, "log-probabilities"))?;
        let tokens = each.len() / rows.len();
        Ok(each.chunks(tokens).map(<[f32]>::to_vec).collect())
    }

    /// What the reader answers (likeliest tokens) for every crop: what `cropvlm answer` prints.
    ///
    /// # Errors
    /// A prompt too long for the model; a failed device.
    pub fn answer(
        &self,
        full: &FullImage,
        boxes: &[Option<NormBox>],
        question: &str,
        max_tokens: usize,
    ) -> Result<Vec<String>> {
        self.answer_crops(full, &self.crops(full, boxes)?, question, max_tokens)
    }

    /// [`RewardModel::answer`] of crops that are encoded already.
    ///
    /// # Errors
    /// As [`RewardModel::answer`].
    pub fn answer_crops(
        &self,
        full: &FullImage,
        crops: &Crops,
        question: &str,
        max_tokens: usize,
    ) -> Result<Vec<String>> {
        let tail = self
            .model
            .prompts()
            .tail(&answer_prompt(question, self.case))?;
        let mut answers = vec![String::new(); crops.heads.len()];
        // Rows that are written on have to end at the same place: crops of as many tiles together.
        let mut lengths: Vec<usize> = crops.heads.iter().map(Vec::len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        for length in lengths {
            let alike: Vec<usize> = (0..crops.heads.len())
                .filter(|i| crops.heads[*i].len() == length)
                .collect();
            let rows: Vec<Vec<u32>> = alike
                .iter()
                .map(|i| [crops.heads[*i].as_slice(), tail.as_slice()].concat())
                .collect();
            let images = alike.iter().map(|i| crops.images[*i].clone()).collect();
            let mut cache = full.cache.clone();
            let images = Tensor::cat(images, 0); // [image tokens of these crops, hidden]
            let written = self
                .model
                .complete_rows(&mut cache, &rows, &images, max_tokens);
            for (i, completion) in alike.into_iter().zip(block_on(written)?) {
                answers[i] = completion.text.trim().to_string();
            }
        }
        Ok(answers)
    }
}

/// The crop of a box from the original pixels; 2 x 2 pixels of the corner for an invalid box, so that
/// the reader gets as many pictures as always and learns nothing from them.
pub fn crop(picture: &RgbImage, bbox: Option<NormBox>) -> RgbImage {
    let (width, height) = picture.dimensions();
    let pixels = match bbox {
        Some(bbox) => bbox.to_pixels(width, height),
        None => grounding::PixelBox {
            x1: 0,
            y1: 0,
            x2: width.min(2),
            y2: height.min(2),
        },
    };
    picture::crop(picture, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smolvlm::{Sampling, tiny};

    const QUESTION: &str = "What is the TOTAL?";

    fn picture() -> RgbImage {
        RgbImage::from_fn(70, 50, |x, y| {
            image::Rgb([(x * 3) as u8, (y * 5) as u8, (x * y) as u8])
        })
    }

    fn boxes() -> Vec<Option<NormBox>> {
        let bbox = |e: [f32; 4]| NormBox::new(e[0], e[1], e[2], e[3]).ok();
        vec![
            bbox([10., 20., 63., 57.]),
            None,
            bbox([0., 0., 100., 100.]),
            bbox([50., 5., 52., 90.]),
        ]
    }

    /// One crop at a time, the way of `score` and `answer`.
    fn alone(reader: &RewardModel, bbox: Option<NormBox>, target: &str) -> (Vec<f32>, String) {
        let full = picture();
        let crop = crop(&full, bbox);
        let model = &reader.model;
        let both = [&full, &crop];
        let shown = if reader.full_image {
            &both[..]
        } else {
            &both[1..]
        };
        let tiles = model.pictures(shown, reader.longest_edge).expect("tiles");
        let scene = model
            .read_pictures(&tiles, &model.encode(&tiles))
            .expect("scene");
        let prompt = model
            .ask(&scene, &answer_prompt(QUESTION, reader.case))
            .expect("prompt");
        let ids = model.prompts().completion(target).expect("ids");
        let each = model.token_log_probs(&prompt, &[ids]).expect("log-probs");
        let each = block_on(smolvlm::read(each, "log-probs")).expect("values");
        let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(0);
        let written = model.generate(&prompt, 1, 6, Sampling::Greedy, &mut rng);
        let written = block_on(written).expect("written").remove(0);
        (each, written.text.trim().to_string())
    }

    /// One tile a picture, and several: then rows differ in length. With the full image and without.
    #[test]
    fn a_group_is_scored_and_answered_as_its_crops_alone() {
        for (longest_edge, full_image) in [(None, true), (Some(48), true), (Some(48), false)] {
            let model = SmolVlm::random(&tiny::files(), 3, &Device::flex()).expect("model");
            let reader =
                RewardModel::new(model, Case::Capitalize, longest_edge).with_full_image(full_image);
            let picture = picture();
            let full = reader.encode(&picture).expect("full image");
            let scores = reader
                .score(&full, &boxes(), QUESTION, "12.50.")
                .expect("scores");
            let answers = reader
                .answer(&full, &boxes(), QUESTION, 6)
                .expect("answers");
            for (i, bbox) in boxes().into_iter().enumerate() {
                let (each, answer) = alone(&reader, bbox, "12.50.");
                assert_eq!(each.len(), scores[i].len());
                for (a, b) in each.iter().zip(&scores[i]) {
                    assert!((a - b).abs() < 1e-4, "crop {i}: {each:?} {:?}", scores[i]);
                }
                assert_eq!(answer, answers[i], "crop {i}");
            }
        }
    }

    /// Pictures without a full image before them are what the full image alone is.
    #[test]
    fn pictures_alone_are_answered_as_the_full_image_is() {
        let model = SmolVlm::random(&tiny::files(), 3, &Device::flex()).expect("model");
        let reader = RewardModel::new(model, Case::Capitalize, Some(48));
        let pictures = [picture(), crop(&picture(), boxes()[0])];
        let (nothing, encoded) = reader.alone(&pictures).expect("encoded");
        let answers = reader.answer_crops(&nothing, &encoded, QUESTION, 6);
        let answers = answers.expect("answers");
        for (picture, answer) in pictures.iter().zip(answers) {
            let model = &reader.model;
            let tiles = model.pictures(&[picture], Some(48)).expect("tiles");
            let scene = model.read_pictures(&tiles, &model.encode(&tiles));
            let prompt = answer_prompt(QUESTION, reader.case);
            let prompt = model.ask(&scene.expect("scene"), &prompt).expect("prompt");
            let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(0);
            let written = model.generate(&prompt, 1, 6, Sampling::Greedy, &mut rng);
            let written = block_on(written).expect("written").remove(0);
            assert_eq!(answer, written.text.trim());
        }
    }

    /// Where the full image is shown smaller, crops still have the original's pixels.
    #[test]
    fn crops_are_cut_from_the_original_beside_a_smaller_full_image() {
        let model = SmolVlm::random(&tiny::files(), 3, &Device::flex()).expect("model");
        let reader = RewardModel::new(model, Case::Capitalize, Some(48));
        let original = picture();
        let small = picture::resize(&original, 14, 10, picture::Filter::Lanczos);
        let scores = |shown: &RgbImage, original: &RgbImage| {
            let full = reader.encode_as(shown, original).expect("full image");
            let score = reader.score(&full, &boxes()[..1], QUESTION, "12.50.");
            score.expect("scores").remove(0)
        };
        let gap = scores(&small, &original);
        assert_ne!(
            gap,
            scores(&original, &original),
            "the full image is another"
        );
        assert_ne!(gap, scores(&small, &small), "the crop is another");
        let without = RewardModel::new(reader.model.clone(), reader.case, Some(48));
        let without = without.with_full_image(false);
        let full = without.encode_as(&small, &original).expect("nothing");
        let alone = without.encode(&original).expect("nothing");
        assert_eq!(
            without
                .score(&full, &boxes(), QUESTION, "1.")
                .expect("scores"),
            without
                .score(&alone, &boxes(), QUESTION, "1.")
                .expect("scores")
        );
    }
}
