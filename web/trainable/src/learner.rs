//! A map policy in its lesson: GRPO on one picture. On the CPU: gradients of this small network take a fraction of a second
//! there, and a graphics processor would compile shaders first.

use burn::tensor::Device;
use cropvlm_web::exchange::{edges, files, pixels, value};
use cropvlm_web::lesson::{Drawn, Lesson, Settings, Step};
use grounding::reward::{Scale, advantages, mean};
use js_sys::{Array, Float32Array};
use policy::grpo::GrpoSettings;
use policy::map::live::Live;
use policy::{ModelFiles, Rollout, SampleOptions};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wasm_bindgen::prelude::*;

/// Longest edge of what the reader sees, pixels, as in the paper.
const READER_EDGE: u32 = 512;

/// A policy in its lesson.
#[wasm_bindgen]
pub struct Learner {
    live: Live,
    question: String,
    answer: String,
    rng: ChaCha8Rng,
    /// The present group; empty before the first one.
    rollouts: Vec<Rollout>,
    /// Of the rollouts whose crops were read, in their order.
    rewards: Vec<f64>,
    steps: u32,
}

#[wasm_bindgen]
impl Learner {
    /// Loads a map policy, `[name, bytes]` pairs, and encodes the picture.
    ///
    /// # Errors
    /// Files that do not fit; a device that failed.
    pub async fn start(pairs: Array, rgb: Vec<u8>, width: u32) -> Result<Learner, JsError> {
        let picture = pixels(rgb, width)?;
        let live = Live::start(
            &ModelFiles::from_memory(files(&pairs)),
            &Device::flex(),
            &picture,
            None,
        )
        .await?;
        Ok(Learner {
            live,
            question: String::new(),
            answer: String::new(),
            rng: beginning(),
            rollouts: Vec::new(),
            rewards: Vec::new(),
            steps: 0,
        })
    }

    /// Whether this question and this answer are being learned.
    pub fn learns(&self, question: &str, answer: &str) -> bool {
        self.question == question && self.answer == answer
    }

    /// The weights and the numbers of the start, for a question and the answer that the reader looks for.
    pub fn begin(&mut self, question: String, answer: String) {
        self.live.forget();
        self.question = question;
        self.answer = answer;
        self.rng = beginning();
        self.clear();
        self.steps = 0;
    }

    /// Whether there is a group, all of it read.
    pub fn has_group(&self) -> bool {
        !self.rollouts.is_empty() && self.rollouts.len() == self.rewards.len()
    }

    /// Draws a group; its boxes' edges, percent.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn draw(&mut self, settings: JsValue) -> Result<Float32Array, JsError> {
        let settings: Settings = serde_wasm_bindgen::from_value(settings)?;
        self.clear();
        let options = SampleOptions {
            n: settings.group as usize,
            temperature: settings.temperature,
            ..SampleOptions::default()
        };
        let drawn = self.live.draw(&self.question, &options, &mut self.rng);
        self.rollouts = drawn.await?;
        Ok(edges(self.rollouts.iter().filter_map(|r| r.bbox)))
    }

    /// Reads the crop of the next rollout of the group: its reward.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn read(&mut self, rgb: Vec<u8>, width: u32) -> Result<(), JsError> {
        let crop = pixels(rgb, width)?;
        let read = self.live.read(&crop, READER_EDGE, &self.answer);
        self.rewards.push(f64::from(read.await?));
        Ok(())
    }

    /// The reward of the next rollout of the group, where somebody else has read its crop: nats a character.
    pub fn reward(&mut self, reward: f64) {
        self.rewards.push(reward);
    }

    /// One step on the present group, which is then used up; nothing where it has nothing to learn from.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn step(&mut self, settings: JsValue) -> Result<JsValue, JsError> {
        let settings: Settings = serde_wasm_bindgen::from_value(settings)?;
        let (rollouts, rewards) = (self.rollouts.clone(), self.rewards.clone());
        self.clear();
        let rule = GrpoSettings {
            beta: settings.beta,
            num_generations: rollouts.len(),
            // A box is one token here.
            max_completion_length: 1,
            logprob_temperature: settings.temperature,
            ..GrpoSettings::default()
        };
        let rate = settings.learning_rate;
        let question = &self.question;
        let done = self.live.step(question, &rollouts, &rewards, &rule, rate);
        let done = done.await?;
        self.steps += u32::from(done.is_some());
        value(&done.map(|done| Step {
            advantages: done.advantages,
            before: done.before,
            after: done.after,
            kl: done.kl,
        }))
    }

    /// What the page is told: the group, the step before it (`skipped` where it was not taken), and the likeliest box.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn tell(&self, skipped: bool, step: JsValue) -> Result<JsValue, JsError> {
        let best = self.live.best(&self.question).await?;
        let best = best.ok_or_else(|| JsError::new("the model gave no box"))?;
        let step: Option<Step> = serde_wasm_bindgen::from_value(step)?;
        let worth = advantages(&self.rewards, Scale::None);
        let rows = self.rollouts.iter().zip(&self.rewards).zip(worth);
        let drawn = rows.filter_map(|((rollout, reward), advantage)| {
            Some(Drawn {
                bbox: rollout.bbox?,
                logprob: rollout.logprob,
                reward: *reward,
                advantage,
            })
        });
        value(&Lesson {
            group: drawn.collect(),
            mean: mean(&self.rewards),
            steps: self.steps,
            step,
            skipped,
            best,
        })
    }

    /// No step is taken on a group that the policy would not draw any more, or that was left half-way.
    fn clear(&mut self) {
        self.rollouts.clear();
        self.rewards.clear();
    }
}

/// Always the same numbers from the start on, so that forgetting brings the first group back.
fn beginning() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}
