//! A policy on a device: building it, warming it up, measuring it, and remembering the last pictures it has seen.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::Device;
use cropvlm_web::places::{Place, group};
use cropvlm_web::protocol::{
    Attention, DeviceKind, Evidence, FromWorker, Running, Stage, Tiles, Why, Writing,
};
use cropvlm_web::text;
use grounding::PixelBox;
use mapnet::canvas;
use picture::RgbImage;
use policy::{
    EvidenceMap, ModelFiles, Policy, PolicyError, Proposal, ProposeOptions, SampleOptions, Seen,
    Written,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::post;
use crate::threads::Threads;

/// Longest side of the picture that warms a device up, pixels.
const WARM_UP_SIDE: u32 = 512;
/// The question that warms a device up.
const WARM_UP_QUESTION: &str = "What is the total?";

/// Encoded pictures that are remembered: the whole one and the part of it that was looked at last.
const REMEMBERED: usize = 2;
/// Boxes that places are found from. Drawing one costs a map policy next to nothing, a text policy a whole answer.
const DRAWS: (usize, usize) = (160, 6);

/// A picture by its number, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub picture: u32,
    pub part: Option<PixelBox>,
    /// How finely a text policy gets it: tiles along the longest edge. A map policy has one size.
    pub fineness: u32,
}

/// Where a policy is to run.
#[derive(Clone, Copy, Debug)]
pub enum On {
    /// The CPU, on so many threads at most, where somebody asked for that.
    Cpu { threads: Option<u32> },
    /// WebGPU.
    WebGpu,
}

/// A policy on a device.
pub struct Runner {
    policy: Policy,
    /// A map policy's encoder on several threads of the CPU.
    threads: RefCell<Option<Rc<Threads>>>,
    pub device: DeviceKind,
    /// One proposal after warming up, milliseconds.
    pub milliseconds: f64,
    /// What was encoded last, the newest at the end: several questions about it cost little.
    seen: RefCell<Vec<(View, Rc<Seen>)>>,
}

impl Runner {
    /// Whether a view is encoded already.
    pub fn knows(&self, view: View) -> bool {
        self.seen.borrow().iter().any(|(of, _)| *of == view)
    }

    /// Whether the policy is a map policy.
    pub fn draws_maps(&self) -> bool {
        matches!(self.policy, Policy::Map(_))
    }

    /// Encodes a view, unless it is remembered. `pixels` are the view's.
    pub async fn look(&self, view: View, pixels: &RgbImage) -> Result<Rc<Seen>, String> {
        let known = self
            .seen
            .borrow()
            .iter()
            .find(|(of, _)| *of == view)
            .cloned();
        if let Some((_, seen)) = known {
            return Ok(seen);
        }
        let seen = Rc::new(self.encode(view, pixels).await?);
        let mut all = self.seen.borrow_mut();
        // Another picture makes what came before it useless; another part, the part before it.
        all.retain(|(of, _)| View { part: None, ..view } == *of);
        all.push((view, Rc::clone(&seen)));
        debug_assert!(all.len() <= REMEMBERED);
        Ok(seen)
    }

    /// Threads that compute, on the CPU.
    pub fn threads(&self) -> u32 {
        let threads = self.threads.borrow();
        threads.as_ref().map_or(1, |threads| threads.count)
    }

    /// Encodes pixels, on several threads where there are some; once they fail, on one.
    async fn encode(&self, view: View, pixels: &RgbImage) -> Result<Seen, String> {
        let threads = self.threads.borrow().clone();
        if let (Policy::Map(policy), Some(threads)) = (&self.policy, threads) {
            let encode = |values: Vec<f32>, size| {
                let encoded = threads.encode(&values, size);
                encoded.map_err(PolicyError::Device)
            };
            match policy.look_by(pixels, None, encode).await {
                Ok(seen) => return Ok(Seen::Map(seen)),
                Err(why) => {
                    post::warn(&text::no_threads(&why.to_string()));
                    self.threads.take();
                }
            }
        }
        let seen = self
            .policy
            .look_upright(pixels, self.longest_edge(view.fineness));
        seen.await.map_err(|error| error.to_string())
    }

    /// Side of a text policy's tile, pixels.
    pub fn tile(&self) -> Option<u32> {
        match &self.policy {
            Policy::Text(policy) => Some(policy.tile() as u32),
            Policy::Map(_) => None,
        }
    }

    /// The longest edge of pictures, pixels; a map policy's is its own.
    fn longest_edge(&self, fineness: u32) -> Option<u32> {
        self.tile().map(|tile| fineness.max(1) * tile)
    }

    /// Proposes a crop of a view, and what a text policy read and wrote for it. Where a click `job` is named, the page
    /// hears its tokens as they come.
    pub async fn propose(
        &self,
        view: View,
        pixels: &RgbImage,
        question: &str,
        job: Option<u32>,
    ) -> Result<(Proposal, Option<Writing>), String> {
        let seen = self.look(view, pixels).await?;
        let options = ProposeOptions::default();
        let (Policy::Text(policy), Seen::Text(seen)) = (&self.policy, &*seen) else {
            let proposed = self.policy.propose(&seen, question, &options).await;
            return Ok((proposed.map_err(|error| error.to_string())?, None));
        };
        let mut writing = Writing {
            prompt: policy.prompt(seen, question).map_err(|e| e.to_string())?,
            tokens: Vec::new(),
        };
        let heard = |token: Written| {
            writing.tokens.push((token.text, token.chance));
            if let Some(job) = job {
                let writing = writing.clone();
                post::message(&FromWorker::Writing { job, writing });
            }
        };
        let proposed = policy.propose_aloud(seen, question, &options, heard).await;
        Ok((proposed.map_err(|error| error.to_string())?, Some(writing)))
    }

    /// The places that the policy draws boxes at. The same question gives the same places.
    pub async fn places(
        &self,
        view: View,
        pixels: &RgbImage,
        question: &str,
    ) -> Result<Vec<Place>, String> {
        let seen = self.look(view, pixels).await?;
        let n = match self.policy {
            Policy::Map(_) => DRAWS.0,
            Policy::Text(_) => DRAWS.1,
        };
        // Temperature 1: shares of the draws are the policy's own chances.
        let options = SampleOptions {
            n,
            temperature: 1.0,
            ..SampleOptions::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let drawn = self
            .policy
            .sample(&seen, question, &options, &mut rng)
            .await;
        let boxes: Vec<_> = drawn
            .map_err(|error| error.to_string())?
            .into_iter()
            .filter_map(|rollout| rollout.bbox)
            .collect();
        Ok(group(&boxes))
    }

    /// The picture as the network gets it: the map policy's grey canvas, or the text policy's tiles in a strip, one under
    /// the other, the global image last.
    pub fn canvas(
        &self,
        pixels: &RgbImage,
        fineness: u32,
    ) -> Result<(RgbImage, Option<Tiles>), String> {
        let broken = || text::BROKEN.to_owned();
        match &self.policy {
            Policy::Map(policy) => {
                let [width, height] = canvas::canvas_of(&policy.config, pixels, None);
                let grey = canvas::canvas(pixels, width, height);
                let rgb = grey.into_iter().flat_map(|value| [value; 3]).collect();
                let canvas = RgbImage::from_raw(width, height, rgb).ok_or_else(broken)?;
                Ok((canvas, None))
            }
            Policy::Text(policy) => {
                let tiles = policy.tiles(pixels, self.longest_edge(fineness));
                let tiles = tiles.map_err(|error| error.to_string())?;
                let told = Tiles {
                    fineness,
                    side: policy.tile() as u32,
                    rows: tiles.rows as u32,
                    columns: tiles.columns as u32,
                    tokens: tiles.tokens as u32,
                };
                let rgb = tiles
                    .images
                    .into_iter()
                    .flat_map(RgbImage::into_raw)
                    .collect();
                let strip = RgbImage::from_raw(told.side, told.side * told.count(), rgb);
                Ok((strip.ok_or_else(broken)?, Some(told)))
            }
        }
    }

    /// Where a text policy looks.
    pub async fn attention(
        &self,
        view: View,
        pixels: &RgbImage,
        question: &str,
    ) -> Result<Attention, String> {
        let (Policy::Text(policy), Seen::Text(seen)) =
            (&self.policy, &*self.look(view, pixels).await?)
        else {
            return Err(text::NO_ATTENTION.to_owned());
        };
        let found = policy.attention(seen, question).await;
        let found = found.map_err(|error| error.to_string())?;
        Ok(Attention {
            map: shown(&found.map),
            bbox: found.bbox,
        })
    }
}

/// A map as the page shows it.
pub fn shown(map: &EvidenceMap) -> Evidence {
    let values = map.values.iter();
    Evidence {
        width: map.width as u32,
        height: map.height as u32,
        values: values.map(|value| (value * 255.0).round() as u8).collect(),
    }
}

/// Builds the network on a device, warms it up and measures one proposal. `aloud` tells the page the stages.
pub async fn build(
    files: &ModelFiles,
    device: &Device,
    on: On,
    aloud: bool,
) -> Result<Runner, String> {
    let tell = |stage| {
        if aloud {
            post::message(&FromWorker::Stage(stage));
        }
    };
    tell(Stage::Upload);
    let policy = Policy::load(files, device).map_err(|error| error.to_string())?;
    let (kind, threads) = match on {
        On::WebGpu => (DeviceKind::WebGpu, None),
        On::Cpu { threads } => (DeviceKind::Cpu, threads_of(&policy, threads).await),
    };
    tell(Stage::WarmUp);
    let mut runner = Runner {
        policy,
        threads: RefCell::new(threads),
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
        let view = View {
            picture: u32::MAX - round,
            part: None,
            fineness: 1,
        };
        runner.propose(view, &blank, WARM_UP_QUESTION, None).await?;
        runner.milliseconds = post::now() - start;
    }
    runner.seen.take();
    Ok(runner)
}

/// The threads that a policy's encoder can have here.
async fn threads_of(policy: &Policy, most: Option<u32>) -> Option<Rc<Threads>> {
    let Policy::Map(policy) = policy else {
        return None;
    };
    match Threads::start(policy, most).await {
        Ok(threads) => threads.map(Rc::new),
        Err(why) => {
            post::warn(&text::no_threads(&why));
            None
        }
    }
}

/// Tells the page which device runs, and why.
pub fn tell(runner: &Runner, why: Why) {
    let running = Running {
        device: runner.device,
        threads: runner.threads(),
        why,
        milliseconds: runner.milliseconds,
        tile: runner.tile(),
    };
    post::message(&FromWorker::Stage(Stage::Ready(running)));
}
