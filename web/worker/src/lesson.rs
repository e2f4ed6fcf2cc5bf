//! GRPO on the picture that is shown: a policy of its own that learns, and forgets when the page says so.
//!
//! It never touches the engine's policy, so that "Propose crop" stays what was shipped. It runs on the CPU: gradients of
//! this small network take a fraction of a second there, and a graphics processor would compile shaders first. Between
//! its parts (each crop that is read) other messages are heard.

use std::cell::Cell;

use burn::tensor::Device;
use cropvlm_web::lesson::{Act, Drawn, Lesson, Settings, Step};
use cropvlm_web::protocol::FromWorker;
use cropvlm_web::text::{self, learn};
use futures_util::lock::Mutex;
use grounding::NormBox;
use grounding::reward::{Scale, advantages, mean};
use policy::grpo::GrpoSettings;
use policy::map::live::Live;
use policy::{PolicyError, Rollout, SampleOptions};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::engine::Engine;
use crate::pictures::Decoded;
use crate::post;

/// Longest edge of what the reader sees, pixels, as in the paper.
const READER_EDGE: u32 = 512;

/// What the page asks for.
pub struct Wish {
    pub job: u32,
    pub picture: u32,
    pub question: String,
    pub answer: String,
    pub settings: Settings,
    pub act: Act,
}

/// The lesson that is being taken, if one is.
#[derive(Default)]
pub struct School {
    pupil: Mutex<Option<Pupil>>,
    newest: Cell<u32>,
}

/// A policy in its lesson.
struct Pupil {
    picture: u32,
    question: String,
    answer: String,
    live: Live,
    rng: ChaCha8Rng,
    /// The present group with its rewards; empty before the first one.
    group: Vec<(Rollout, f64)>,
    steps: u32,
}

impl School {
    /// Another picture is there: the lesson about the one before ends, and its memory is given back.
    pub async fn leave(&self, picture: u32) {
        let mut pupil = self.pupil.lock().await;
        pupil.take_if(|pupil| pupil.picture != picture);
    }

    /// Notes what is wanted now; what was wanted before is dropped where it stands.
    pub fn hear(&self, job: u32) {
        self.newest.set(job);
    }

    /// Does what is wished, and draws the next group.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn learn(
        &self,
        engine: &Engine,
        decoded: &Decoded,
        wish: &Wish,
    ) -> Result<Lesson, String> {
        let files = engine.files().await?;
        if !engine.draws_maps() {
            return Err(learn::NO_LESSON.to_owned());
        }
        let mut pupil = self.pupil.lock().await;
        self.still(wish.job)?;
        if pupil.as_ref().is_none_or(|p| p.picture != wish.picture) {
            // First the memory of the old one, then the new one.
            *pupil = None;
            let _turn = engine.turn().await;
            let live = Live::start(&files, &Device::flex(), &decoded.pixels, None).await;
            *pupil = Some(Pupil {
                picture: wish.picture,
                question: String::new(),
                answer: String::new(),
                live: live.map_err(sentence)?,
                rng: beginning(),
                group: Vec::new(),
                steps: 0,
            });
        }
        let pupil = pupil.as_mut().ok_or(text::BROKEN)?;
        let other = pupil.question != wish.question || pupil.answer != wish.answer;
        if other || wish.act == Act::Forget {
            pupil.begin(wish);
        }
        let wanted = wish.act == Act::Step && !pupil.group.is_empty();
        let step = if wanted {
            let _turn = engine.turn().await;
            pupil.step(&wish.settings).await.map_err(sentence)?
        } else {
            None
        };
        self.draw(engine, decoded, wish, pupil).await?;
        let best = {
            let _turn = engine.turn().await;
            let best = pupil.live.best(&pupil.question).await;
            best.map_err(sentence)?.ok_or(text::NO_BOX)?
        };
        Ok(pupil.tell(wanted && step.is_none(), step, best))
    }

    /// Draws a group and has every crop read.
    async fn draw(
        &self,
        engine: &Engine,
        decoded: &Decoded,
        wish: &Wish,
        pupil: &mut Pupil,
    ) -> Result<(), String> {
        // Should this be left half-way, no step is taken on a group that the policy would not draw any more.
        pupil.group.clear();
        let options = SampleOptions {
            n: wish.settings.group as usize,
            temperature: wish.settings.temperature,
            ..SampleOptions::default()
        };
        let rollouts = {
            let _turn = engine.turn().await;
            let drawn = pupil
                .live
                .draw(&pupil.question, &options, &mut pupil.rng)
                .await;
            drawn.map_err(sentence)?
        };
        let (width, height) = decoded.pixels.dimensions();
        let of = rollouts.len() as u32;
        let mut group = Vec::with_capacity(rollouts.len());
        for (part, rollout) in (1..).zip(rollouts) {
            let job = wish.job;
            post::message(&FromWorker::Learning { job, part, of });
            post::pause(0).await;
            self.still(job)?;
            let _turn = engine.turn().await;
            let bbox = rollout.bbox.ok_or(text::NO_BOX)?;
            let crop = picture::crop(&decoded.pixels, bbox.to_pixels(width, height));
            let read = pupil.live.read(&crop, READER_EDGE, &pupil.answer).await;
            group.push((rollout, f64::from(read.map_err(sentence)?)));
        }
        pupil.group = group;
        Ok(())
    }

    fn still(&self, job: u32) -> Result<(), String> {
        if self.newest.get() == job {
            Ok(())
        } else {
            Err(text::SUPERSEDED.to_owned())
        }
    }
}

impl Pupil {
    /// The weights and the numbers of the start.
    fn begin(&mut self, wish: &Wish) {
        self.live.forget();
        self.question.clone_from(&wish.question);
        self.answer.clone_from(&wish.answer);
        self.rng = beginning();
        self.group.clear();
        self.steps = 0;
    }

    /// One step on the present group; none where it has nothing to learn from.
    async fn step(&mut self, settings: &Settings) -> Result<Option<Step>, PolicyError> {
        let (rollouts, rewards): (Vec<Rollout>, Vec<f64>) =
            std::mem::take(&mut self.group).into_iter().unzip();
        let rule = GrpoSettings {
            beta: settings.beta,
            num_generations: rollouts.len(),
            // A box is one token here.
            max_completion_length: 1,
            logprob_temperature: settings.temperature,
            ..GrpoSettings::default()
        };
        let rate = settings.learning_rate;
        let done = self
            .live
            .step(&self.question, &rollouts, &rewards, &rule, rate)
            .await?;
        self.steps += u32::from(done.is_some());
        Ok(done.map(|done| Step {
            advantages: done.advantages,
            before: done.before,
            after: done.after,
            kl: done.kl,
        }))
    }

    fn tell(&self, skipped: bool, step: Option<Step>, best: NormBox) -> Lesson {
        let rewards: Vec<f64> = self.group.iter().map(|(_, reward)| *reward).collect();
        let advantages = advantages(&rewards, Scale::None);
        let rows = self.group.iter().zip(advantages);
        let drawn = rows.filter_map(|((rollout, reward), advantage)| {
            Some(Drawn {
                bbox: rollout.bbox?,
                logprob: rollout.logprob,
                reward: *reward,
                advantage,
            })
        });
        Lesson {
            group: drawn.collect(),
            mean: mean(&rewards),
            steps: self.steps,
            step,
            skipped,
            best,
        }
    }
}

/// Always the same numbers from the start on, so that forgetting brings the first group back.
fn beginning() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

fn sentence(error: PolicyError) -> String {
    error.to_string()
}
