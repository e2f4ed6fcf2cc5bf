//! A policy on a device: building it, measuring it, and remembering the last pictures it has encoded.

use std::cell::RefCell;
use std::rc::Rc;

use cropvlm_web::places::{Place, group};
use cropvlm_web::protocol::{
    Attention, DeviceKind, FromWorker, Running, Stage, Tiles, Why, Writing,
};
use cropvlm_web::text;
use engine::{EncodeOptions, EngineError, ProposeOptions, Quiet};
use futures_util::future::join;
use grounding::{NormBox, PixelBox};
use kernels::Maps;
use mapnet::{EvidenceMap, MapError, Proposal, Timings, canvas};
use picture::RgbImage;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tensors::ModelFiles;

use crate::error::{Result, WorkerError};
use crate::fetch::{Folder, Told};
use crate::post;
use crate::second::{self, Second};
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
    pub tiles_per_edge: u32,
}

/// Where a policy is to run.
#[derive(Clone, Copy, Debug)]
pub enum On {
    /// The CPU, on so many threads at most, where somebody asked for that.
    Cpu { threads: Option<u32> },
    /// WebGPU.
    WebGpu,
}

/// Whose network it is.
#[allow(clippy::large_enum_variant)] // the worker holds one
enum Model {
    /// A map policy, by this module's own kernels.
    Core(Box<engine::Engine>),
    /// A text policy, by a second module.
    Second {
        model: Rc<second::Model>,
        /// Threads that it has.
        threads: u32,
        /// A text policy that was never taught to write boxes: its box is the one that follows from where it looks.
        training_free: bool,
    },
}

/// An encoded picture, of the same module.
enum Encoded {
    Core(engine::Encoded),
    Second(second::Encoded),
}

/// A policy on a device.
pub struct Runner {
    model: Model,
    /// A map policy's network on several threads of the CPU.
    threads: RefCell<Option<Rc<Threads>>>,
    pub device: DeviceKind,
    /// What was encoded last, the newest at the end: several questions about it cost little.
    remembered: RefCell<Vec<(View, Rc<Encoded>)>>,
}

impl Runner {
    /// Whether a view is encoded already.
    pub fn knows(&self, view: View) -> bool {
        self.remembered.borrow().iter().any(|(of, _)| *of == view)
    }

    /// Milliseconds of a proposal on a blank picture, the second of two: the first one warms the device up.
    ///
    /// # Errors
    /// A device that fails.
    pub async fn measure(&self) -> Result<f64> {
        let blank = RgbImage::from_fn(WARM_UP_SIDE * 3 / 4, WARM_UP_SIDE, |x, y| {
            [200 + ((x ^ y) & 31) as u8; 3].into()
        });
        let mut milliseconds = 0.0;
        for round in 0..2 {
            post::pause(0).await;
            let start = post::now();
            // A number that no picture of the page has; another one each time, so that the picture is encoded anew.
            let view = View {
                picture: u32::MAX - round,
                part: None,
                tiles_per_edge: 1,
            };
            self.propose(view, &blank, WARM_UP_QUESTION, None).await?;
            milliseconds = post::now() - start;
            self.remembered.borrow_mut().retain(|(of, _)| *of != view);
        }
        Ok(milliseconds)
    }

    /// SmolVLM on the processor, if this is it: a reader, too.
    pub fn reader(&self) -> Option<Rc<second::Model>> {
        match &self.model {
            Model::Second { model, .. } if self.device == DeviceKind::Cpu => Some(Rc::clone(model)),
            _ => None,
        }
    }

    /// Whether the box is the training-free one.
    fn is_training_free(&self) -> bool {
        matches!(
            &self.model,
            Model::Second {
                training_free: true,
                ..
            }
        )
    }

    /// Whether the policy is a map policy.
    pub fn draws_maps(&self) -> bool {
        self.tile().is_none()
    }

    /// Encodes a view, unless it is remembered. `pixels` are the view's.
    pub async fn encode(&self, view: View, pixels: &RgbImage) -> Result<()> {
        self.encoded(view, pixels).await.map(|_| ())
    }

    async fn encoded(&self, view: View, pixels: &RgbImage) -> Result<Rc<Encoded>> {
        let known = self
            .remembered
            .borrow()
            .iter()
            .find(|(of, _)| *of == view)
            .cloned();
        if let Some((_, encoded)) = known {
            return Ok(encoded);
        }
        let encoded = Rc::new(match &self.model {
            Model::Core(engine) => Encoded::Core(self.encode_here(engine, pixels).await?),
            Model::Second { model, .. } => {
                Encoded::Second(model.encode(pixels, view.tiles_per_edge).await?)
            }
        });
        let mut all = self.remembered.borrow_mut();
        // Another picture makes what came before it useless; another part, the part before it.
        all.retain(|(of, _)| View { part: None, ..view } == *of);
        all.push((view, Rc::clone(&encoded)));
        debug_assert!(all.len() <= REMEMBERED);
        Ok(encoded)
    }

    /// Threads that compute, on the CPU.
    pub fn threads(&self) -> u32 {
        match &self.model {
            Model::Core(_) => self.threads.borrow().as_ref().map_or(1, |all| all.count),
            Model::Second { threads, .. } => *threads,
        }
    }

    /// Encodes pixels, on several threads where there are some; once they fail, on one.
    async fn encode_here(
        &self,
        engine: &engine::Engine,
        pixels: &RgbImage,
    ) -> Result<engine::Encoded> {
        let options = EncodeOptions::default();
        let threads = self.threads.borrow().clone();
        if let Some(threads) = threads {
            let encode = async |values: Vec<f32>, size| {
                let encoded = threads.encode(&values, size);
                encoded.map_err(|why| EngineError::Device(MapError::Device(why.to_string())))
            };
            match engine.encode_by(pixels, &options, &Quiet, encode).await {
                Ok(encoded) => return Ok(encoded),
                Err(why) => {
                    post::warn(&text::no_threads(&why.to_string()));
                    self.threads.take();
                }
            }
        }
        Ok(engine.encode(pixels, &options, &Quiet).await?)
    }

    /// Answers a question, on several threads where there are some; once they fail, on one.
    async fn answer(
        &self,
        engine: &engine::Engine,
        encoded: &engine::Encoded,
        question: &str,
        options: &ProposeOptions,
    ) -> Result<engine::Answer> {
        let threads = self.threads.borrow().clone();
        if let Some(threads) = threads {
            let decode = async |levels: &[Maps; 3], hints: &[f32], steer: &[f32]| {
                let maps = threads.decode(levels, hints, steer);
                maps.map_err(|why| EngineError::Device(MapError::Device(why.to_string())))
            };
            let answer = engine.propose_by(encoded, question, options, &Quiet, decode);
            match answer.await {
                Err(EngineError::Device(why)) => {
                    post::warn(&text::no_threads(&why.to_string()));
                    self.threads.take();
                }
                done => return Ok(done?),
            }
        }
        Ok(engine.propose(encoded, question, options, &Quiet).await?)
    }

    /// Side of a text policy's tile, pixels.
    pub fn tile(&self) -> Option<u32> {
        match &self.model {
            Model::Core(_) => None,
            Model::Second { model, .. } => model.tile(),
        }
    }

    /// Proposes a crop of a view, and what a text policy read and wrote for it. Where a click `job` is named, the page
    /// hears its tokens as they come.
    pub async fn propose(
        &self,
        view: View,
        pixels: &RgbImage,
        question: &str,
        job: Option<u32>,
    ) -> Result<(Proposal, Option<Writing>)> {
        let encoded = self.encoded(view, pixels).await?;
        match (&self.model, &*encoded) {
            (Model::Core(engine), Encoded::Core(encoded)) => {
                let options = ProposeOptions {
                    top_k: 0,
                    ..ProposeOptions::default()
                };
                let answer = self.answer(engine, encoded, question, &options).await?;
                Ok((answer.proposal, None))
            }
            (
                Model::Second {
                    model,
                    training_free: true,
                    ..
                },
                Encoded::Second(encoded),
            ) => {
                let found = model.attend(encoded, question).await?;
                let found = found.ok_or(WorkerError::NoAttention)?;
                Ok((training_free(&found), None))
            }
            (Model::Second { model, .. }, Encoded::Second(encoded)) => {
                let on_token = move |writing| {
                    if let Some(job) = job {
                        post::message(&FromWorker::Writing { job, writing });
                    }
                };
                model.propose(encoded, question, on_token).await
            }
            _ => Err(WorkerError::Broken),
        }
    }

    /// The places that the policy draws boxes at. The same question gives the same places.
    pub async fn places(
        &self,
        view: View,
        pixels: &RgbImage,
        question: &str,
    ) -> Result<Vec<Place>> {
        let encoded = self.encoded(view, pixels).await?;
        let boxes: Vec<NormBox> = match (&self.model, &*encoded) {
            (Model::Core(engine), Encoded::Core(encoded)) => {
                let mut rng = ChaCha8Rng::seed_from_u64(0);
                let drawn = engine.sample(encoded, question, DRAWS.0, &mut rng);
                drawn?
            }
            (Model::Second { model, .. }, Encoded::Second(encoded)) => {
                model.sample(encoded, question, DRAWS.1).await?
            }
            _ => return Err(WorkerError::Broken),
        };
        Ok(group(&boxes))
    }

    /// The picture as the network gets it: the map policy's grey canvas, or the text policy's tiles in a strip, one under
    /// the other, the global image last.
    pub fn canvas(
        &self,
        pixels: &RgbImage,
        tiles_per_edge: u32,
    ) -> Result<(RgbImage, Option<Tiles>)> {
        let config = match &self.model {
            Model::Core(engine) => engine.model().config(),
            Model::Second { model, .. } => {
                let strip = model
                    .strip(pixels, tiles_per_edge)?
                    .ok_or(WorkerError::Broken)?;
                return Ok((strip.0, Some(strip.1)));
            }
        };
        let grey = canvas::grey(pixels);
        let [width, height] = canvas::canvas_of(config, &grey, None);
        let grey = canvas::canvas(&grey, width, height);
        let rgb = grey.into_iter().flat_map(|value| [value; 3]).collect();
        let canvas = RgbImage::from_raw(width, height, rgb).ok_or(WorkerError::Broken)?;
        Ok((canvas, None))
    }

    /// Where a text policy looks.
    pub async fn attention(
        &self,
        view: View,
        pixels: &RgbImage,
        question: &str,
    ) -> Result<Attention> {
        let found = match (&self.model, &*self.encoded(view, pixels).await?) {
            (Model::Second { model, .. }, Encoded::Second(encoded)) => {
                model.attend(encoded, question).await?
            }
            _ => None,
        };
        found.ok_or(WorkerError::NoAttention)
    }
}

/// Builds the network on a device. `show_stages` tells the page the stages.
pub async fn build(folder: &Folder, on: On, show_stages: bool) -> Result<Runner> {
    let files = &folder.files;
    let tell = |stage| {
        if show_stages {
            post::message(&FromWorker::Stage(stage));
        }
    };
    let told = if show_stages {
        Told::Stage
    } else {
        Told::Nobody
    };
    tell(Stage::Upload);
    let text = folder.is_text();
    let (model, device, threads) = match on {
        On::Cpu { threads } if !text => {
            // The threads are on their way while the model is read.
            let policy = map_policy(files, engine::Device::Cpu);
            let (threads, engine) = join(threads_of(files, threads), policy).await;
            let engine = engine?;
            (Model::Core(Box::new(engine)), DeviceKind::Cpu, threads)
        }
        On::WebGpu if !text => {
            let engine = map_policy(files, engine::Device::Gpu).await?;
            let backend = engine.backend();
            if backend.adapter.is_none() {
                return Err(WorkerError::Device(backend.reason.to_string()));
            }
            (Model::Core(Box::new(engine)), DeviceKind::WebGpu, None)
        }
        On::Cpu { threads } => {
            let (module, threads) = Second::smolvlm(threads).await?;
            let model = module.text_policy(folder, false, told).await?;
            let model = Model::Second {
                model: Rc::new(model),
                threads,
                training_free: folder.training_free,
            };
            (model, DeviceKind::Cpu, None)
        }
        On::WebGpu => {
            let module = Second::smolvlm_on_webgpu().await?;
            let model = module.text_policy(folder, true, told).await?;
            let model = Model::Second {
                model: Rc::new(model),
                threads: 1,
                training_free: folder.training_free,
            };
            (model, DeviceKind::WebGpu, None)
        }
    };
    let runner = Runner {
        model,
        threads: RefCell::new(threads),
        device,
        remembered: RefCell::default(),
    };
    // A graphics card compiles its shaders, and shows whether it computes at all. The processor's first proposal is a real one.
    if device == DeviceKind::WebGpu {
        tell(Stage::WarmUp);
        runner.measure().await?;
    }
    Ok(runner)
}

/// A map policy on a device, by this module's own kernels.
async fn map_policy(files: &ModelFiles, device: engine::Device) -> Result<engine::Engine> {
    Ok(engine::Engine::load(files, device, &Quiet).await?)
}

/// The proposal that follows from where a model looks.
fn training_free(found: &Attention) -> Proposal {
    let values = found.map.values.iter();
    Proposal {
        bbox: Some(found.bbox),
        completion: found.bbox.completion(),
        logprob: f64::NAN,
        valid: true,
        timings: Timings::default(),
        evidence: Some(EvidenceMap {
            width: found.map.width as usize,
            height: found.map.height as usize,
            values: values.map(|value| f32::from(*value) / 255.0).collect(),
        }),
        confidence: None,
        present: None,
        rotation: 0.0,
    }
}

/// The threads that a map policy's encoder can have here. What is wrong with the weights, the engine says.
async fn threads_of(files: &ModelFiles, most: Option<u32>) -> Option<Rc<Threads>> {
    match Threads::start(files, most).await {
        Ok(threads) => threads.map(Rc::new),
        Err(why) => {
            post::warn(&text::no_threads(&why.to_string()));
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
        tile: runner.tile(),
        training_free: runner.is_training_free(),
    };
    post::message(&FromWorker::Stage(Stage::Ready(running)));
}
