//! GRPO on the picture that is shown: a policy of its own that learns, and forgets when the page says so.
//!
//! It never touches the engine's policy, so that "Propose crop" stays what was shipped. Gradients are the second module's
//! ([`crate::second`]), which is fetched for the first group. Between the parts of a lesson (each crop that is read)
//! other messages are heard.

use std::cell::Cell;

use cropvlm_web::lesson::{Act, Lesson, Settings};
use cropvlm_web::protocol::FromWorker;
use cropvlm_web::text::{self, learn};
use futures_util::lock::Mutex;

use crate::engine::Engine;
use crate::pictures::Decoded;
use crate::post;
use crate::second::{Pupil, Second};

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
    /// The policy that learns, and the number of its picture.
    pupil: Mutex<Option<(u32, Pupil)>>,
    newest: Cell<u32>,
}

impl School {
    /// Another picture is there: the lesson about the one before ends, and its memory is given back.
    pub async fn leave(&self, picture: u32) {
        let mut pupil = self.pupil.lock().await;
        pupil.take_if(|(of, _)| *of != picture);
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
        if pupil.as_ref().is_none_or(|(of, _)| *of != wish.picture) {
            // First the memory of the old one, then the new one.
            *pupil = None;
            let trainable = Second::trainable().await?;
            let _turn = engine.turn().await;
            let new = trainable.pupil(&files.files, &decoded.pixels).await?;
            *pupil = Some((wish.picture, new));
        }
        let (_, pupil) = pupil.as_ref().ok_or(text::BROKEN)?;
        if !pupil.learns(&wish.question, &wish.answer) || wish.act == Act::Forget {
            pupil.begin(&wish.question, &wish.answer);
        }
        let wanted = wish.act == Act::Step && pupil.has_group();
        let step = if wanted {
            let _turn = engine.turn().await;
            pupil.step(&wish.settings).await?
        } else {
            None
        };
        self.draw(engine, decoded, wish, pupil).await?;
        let _turn = engine.turn().await;
        pupil.tell(wanted && step.is_none(), &step).await
    }

    /// Draws a group and has every crop read.
    async fn draw(
        &self,
        engine: &Engine,
        decoded: &Decoded,
        wish: &Wish,
        pupil: &Pupil,
    ) -> Result<(), String> {
        let boxes = {
            let _turn = engine.turn().await;
            pupil.draw(&wish.settings).await?
        };
        let (width, height) = decoded.pixels.dimensions();
        let of = boxes.len() as u32;
        for (part, bbox) in (1..).zip(boxes) {
            let job = wish.job;
            post::message(&FromWorker::Learning { job, part, of });
            post::pause(0).await;
            self.still(job)?;
            let _turn = engine.turn().await;
            let crop = picture::crop(&decoded.pixels, bbox.to_pixels(width, height));
            pupil.read(&crop).await?;
        }
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
