//! A policy on a device: building it, warming it up, measuring it, and remembering the last picture it has seen.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::Device;
use cropvlm_web::protocol::{DeviceKind, FromWorker, Running, Stage, Why};
use picture::RgbImage;
use policy::{ModelFiles, Policy, Proposal, ProposeOptions, Seen};

use crate::post;

/// Longest side of the picture that warms a device up, pixels.
const WARM_UP_SIDE: u32 = 512;
/// The question that warms a device up.
const WARM_UP_QUESTION: &str = "What is the total?";

/// A policy on a device.
pub struct Runner {
    policy: Policy,
    pub device: DeviceKind,
    /// One proposal after warming up, milliseconds.
    pub milliseconds: f64,
    /// The picture that was encoded last: several questions about it cost little.
    seen: RefCell<Option<(u32, Rc<Seen>)>>,
}

impl Runner {
    /// Encodes a picture, unless it was the last one.
    pub async fn look(&self, number: u32, picture: &RgbImage) -> Result<Rc<Seen>, String> {
        let seen = self.seen.borrow().clone();
        if let Some((of, seen)) = seen
            && of == number
        {
            return Ok(seen);
        }
        let seen = Rc::new(
            self.policy
                .look(picture, None)
                .await
                .map_err(|error| error.to_string())?,
        );
        *self.seen.borrow_mut() = Some((number, Rc::clone(&seen)));
        Ok(seen)
    }

    /// Proposes a crop of the picture with this number.
    pub async fn propose(
        &self,
        number: u32,
        picture: &RgbImage,
        question: &str,
    ) -> Result<Proposal, String> {
        let seen = self.look(number, picture).await?;
        let options = ProposeOptions::default();
        self.policy
            .propose(&seen, question, &options)
            .await
            .map_err(|error| error.to_string())
    }
}

/// Builds the network on a device, warms it up and measures one proposal. `aloud` tells the page the stages.
pub async fn build(
    files: &ModelFiles,
    device: &Device,
    kind: DeviceKind,
    aloud: bool,
) -> Result<Runner, String> {
    let tell = |stage| {
        if aloud {
            post::message(&FromWorker::Stage(stage));
        }
    };
    tell(Stage::Upload);
    let policy = Policy::load(files, device).map_err(|error| error.to_string())?;
    tell(Stage::WarmUp);
    let mut runner = Runner {
        policy,
        device: kind,
        milliseconds: 0.0,
        seen: RefCell::default(),
    };
    let blank = RgbImage::from_fn(WARM_UP_SIDE * 3 / 4, WARM_UP_SIDE, |x, y| {
        [200 + ((x ^ y) & 31) as u8; 3].into()
    });
    for round in 0..2 {
        post::pause(0).await;
        let start = post::now();
        // A number that no picture of the page has; another one each time, so that the picture is encoded anew.
        runner
            .propose(u32::MAX - round, &blank, WARM_UP_QUESTION)
            .await?;
        runner.milliseconds = post::now() - start;
    }
    runner.seen.take();
    Ok(runner)
}

/// Tells the page which device runs, and why.
pub fn tell(runner: &Runner, why: Why) {
    let running = Running {
        device: runner.device,
        why,
        milliseconds: runner.milliseconds,
    };
    post::message(&FromWorker::Stage(Stage::Ready(running)));
}
