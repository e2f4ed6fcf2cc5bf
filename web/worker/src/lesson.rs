//! GRPO on the picture that is shown: a policy of its own that learns, and forgets when the page says so.
//!
//! It never touches the engine's policy, so that "Propose crop" stays what was shipped. Gradients are the second module's
//! ([`crate::second`]), which is fetched for the first group. Between the parts of a lesson (each crop that is read)
//! other messages are heard.

use std::cell::Cell;

use cropvlm_web::compare::Pictures;
use cropvlm_web::lesson::{Act, Judge, Lesson, Settings};
use cropvlm_web::prompt;
use cropvlm_web::protocol::FromWorker;
use futures_util::lock::Mutex;
use picture::RgbImage;

use crate::engine::Engine;
use crate::error::{Result, WorkerError};
use crate::pictures::Decoded;
use crate::post;
use crate::reader::{Reader, TILES};
use crate::second::{Learner, Model, Second};

/// What the page asks for.
pub struct LessonRequest {
    pub job: u32,
    pub picture: u32,
    pub question: String,
    pub answer: String,
    pub settings: Settings,
    pub act: Act,
}

/// The lesson that is being taken, if one is.
#[derive(Default)]
pub struct Lessons {
    /// The policy that learns, and the number of its picture.
    learner: Mutex<Option<(u32, Learner)>>,
    newest: Cell<u32>,
}

impl Lessons {
    /// Another picture is there: the lesson about the one before ends, and its memory is given back.
    pub async fn leave(&self, picture: u32) {
        let mut learner = self.learner.lock().await;
        learner.take_if(|(of, _)| *of != picture);
    }

    /// Cancels the running lesson: its job is no longer the newest.
    pub fn supersede(&self, job: u32) {
        self.newest.set(job);
    }

    /// Does what is wished, and draws the next group.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn learn(
        &self,
        engine: &Engine,
        reader: &Reader,
        decoded: &Decoded,
        request: &LessonRequest,
    ) -> Result<Lesson> {
        let files = engine.files().await?;
        if !engine.draws_maps() {
            return Err(WorkerError::NoLesson);
        }
        let judge = match request.settings.judge {
            Judge::Letters => None,
            Judge::SmolVlm => Some(reader.loaded().await.ok_or(WorkerError::NoJudge)?),
        };
        let mut learner = self.learner.lock().await;
        self.still(request.job)?;
        if learner
            .as_ref()
            .is_none_or(|(of, _)| *of != request.picture)
        {
            // First the memory of the old one, then the new one.
            *learner = None;
            let trainable = Second::trainable().await?;
            let _turn = engine.turn().await;
            let new = trainable.learner(&files.files, &decoded.pixels).await?;
            *learner = Some((request.picture, new));
        }
        let (_, learner) = learner.as_ref().ok_or(WorkerError::Broken)?;
        if !learner.learns(&request.question, &request.answer) || request.act == Act::Forget {
            learner.begin(&request.question, &request.answer);
        }
        let wanted = request.act == Act::Step && learner.has_group();
        let step = if wanted {
            let _turn = engine.turn().await;
            learner.step(&request.settings).await?
        } else {
            None
        };
        self.draw(engine, judge.as_deref(), decoded, request, learner)
            .await?;
        let _turn = engine.turn().await;
        learner.tell(wanted && step.is_none(), &step).await
    }

    /// Draws a group and has every crop read, by `judge` where there is one.
    async fn draw(
        &self,
        engine: &Engine,
        judge: Option<&Model>,
        decoded: &Decoded,
        request: &LessonRequest,
        learner: &Learner,
    ) -> Result<()> {
        let boxes = {
            let _turn = engine.turn().await;
            learner.draw(&request.settings).await?
        };
        let (width, height) = decoded.pixels.dimensions();
        let of = boxes.len() as u32;
        for (part, bbox) in (1..).zip(boxes) {
            let job = request.job;
            post::message(&FromWorker::Learning { job, part, of });
            post::pause(0).await;
            self.still(job)?;
            let _turn = engine.turn().await;
            let crop = picture::crop(&decoded.pixels, bbox.to_pixels(width, height));
            match judge {
                None => learner.read(&crop).await?,
                Some(judge) => learner.reward(likelihood(judge, decoded, crop, request).await?),
            }
        }
        Ok(())
    }

    fn still(&self, job: u32) -> Result<()> {
        if self.newest.get() == job {
            Ok(())
        } else {
            Err(WorkerError::Superseded)
        }
    }
}

/// Natural logarithm of the chance that a reader gives the answer, shown the full image and a crop; a character's share of it.
async fn likelihood(
    judge: &Model,
    decoded: &Decoded,
    crop: RgbImage,
    request: &LessonRequest,
) -> Result<f64> {
    let prompt = prompt::fill(prompt::TEMPLATE, &request.question, Pictures::Both);
    let pictures = [decoded.pixels.clone(), crop];
    let answer = Some(request.answer.clone());
    // It has to write something; one token is the least.
    let read = judge.read(&pictures, TILES, &prompt, 1, answer).await?;
    let log_prob = read.log_prob().ok_or(WorkerError::Broken)?;
    Ok(log_prob / request.answer.chars().count().max(1) as f64)
}
