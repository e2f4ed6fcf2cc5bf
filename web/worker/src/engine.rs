//! The model on a device: chosen by measurement, and replaced by the CPU when it fails.
//!
//! Nothing asked for, it is the CPU: the map policy needs nothing but this module there. With `auto` the CPU comes first,
//! too: no shaders are compiled. Where there is WebGPU, it is then loaded (a text policy with a module of one thread, [`crate::second`]) and
//! measured in the background, and takes over only if the same proposal is faster there. A device that fails or is lost later falls back to the CPU, and the proposal is tried once more.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

use cropvlm_web::geometry::tidy;
use cropvlm_web::inside::second_look;
use cropvlm_web::models::ModelFolder;
use cropvlm_web::places::Place;
use cropvlm_web::protocol::{
    Attention, DeviceChoice, DeviceKind, Evidence, FromWorker, Parts, Proposed, Stage, Tiles, Why,
    Writing,
};
use futures_util::FutureExt;
use futures_util::future::{Either, LocalBoxFuture, Shared, select};
use futures_util::lock::{Mutex, MutexGuard};
use grounding::{NormBox, PixelBox};
use mapnet::Proposal;
use picture::RgbImage;
use wasm_bindgen_futures::spawn_local;

use crate::error::{Result, WorkerError};
use crate::fetch::{Chosen, Folder, Source, Told};
use crate::pictures::Decoded;
use crate::runner::{On, Runner, View, build, tell};
use crate::{fetch, gpu, pictures, post, second};

/// After this long, milliseconds, a device that is being measured in the background counts as slower.
const PATIENCE: i32 = 45_000;

type Loading = Shared<LocalBoxFuture<'static, Result<()>>>;

/// The model, however far it is.
#[derive(Clone, Default)]
pub struct Engine {
    inner: Rc<Inner>,
    /// The newest click: older ones are not computed any more.
    pub newest_job: Rc<Cell<u32>>,
}

#[derive(Default)]
struct Inner {
    order: RefCell<Option<Order>>,
    loading: RefCell<Option<Loading>>,
    files: RefCell<Option<Rc<Folder>>>,
    /// The one that proposes.
    runner: RefCell<Option<Rc<Runner>>>,
    /// The CPU's, kept for when the other one fails.
    spare: RefCell<Option<Rc<Runner>>>,
    /// One proposal at a time: two would only slow each other down.
    turn: Mutex<()>,
    /// Why a WebGPU device went away, once one did.
    lost: RefCell<Option<String>>,
}

/// What the page asks for, see [`cropvlm_web::protocol::ToWorker::Start`].
#[derive(Clone)]
pub struct Order {
    pub model: ModelFolder,
    /// The model's files, where they are of this computer.
    pub files: Option<Chosen>,
    pub device: DeviceChoice,
    pub threads: Option<u32>,
    pub after: Option<String>,
    pub tiles_per_edge: u32,
}

impl Engine {
    /// Starts to load the model.
    pub fn start(&self, order: Order) {
        *self.inner.order.borrow_mut() = Some(order);
        let engine = self.clone();
        spawn_local(async move {
            engine.runner().await.ok();
        });
    }

    /// How finely a text policy gets pictures from now on, see [`cropvlm_web::protocol::ToWorker::TilesPerEdge`].
    pub fn set_tiles_per_edge(&self, tiles_per_edge: u32) {
        if let Some(order) = self.inner.order.borrow_mut().as_mut() {
            order.tiles_per_edge = tiles_per_edge;
        }
    }

    fn tiles_per_edge(&self) -> u32 {
        let order = self.inner.order.borrow();
        order.as_ref().map_or(1, |order| order.tiles_per_edge)
    }

    /// A picture or a part of it, as finely as is wished now.
    fn view(&self, picture: u32, part: Option<PixelBox>) -> View {
        View {
            picture,
            part,
            tiles_per_edge: self.tiles_per_edge(),
        }
    }

    /// The runner; loads the model where that has not happened or has failed.
    async fn runner(&self) -> Result<Rc<Runner>> {
        if let Some(runner) = self.inner.runner.borrow().clone() {
            return Ok(runner);
        }
        let loading = {
            let mut loading = self.inner.loading.borrow_mut();
            loading
                .get_or_insert_with(|| self.clone().load().boxed_local().shared())
                .clone()
        };
        let loaded = loading.await;
        if let Err(why) = loaded {
            // The next click tries anew. Only the first of those that waited tells the page.
            if self.inner.loading.borrow_mut().take().is_some() {
                post::message(&FromWorker::Stage(Stage::Failed {
                    why: why.to_string(),
                }));
            }
            return Err(why);
        }
        self.inner
            .runner
            .borrow()
            .clone()
            .ok_or(WorkerError::Broken)
    }

    async fn load(self) -> Result<()> {
        let order = self
            .inner
            .order
            .borrow()
            .clone()
            .ok_or(WorkerError::Broken)?;
        // Not borrowed any more while the files are on their way.
        let known = self.inner.files.borrow().clone();
        let files = match known {
            Some(files) => files,
            None => Rc::new({
                let source = match order.files {
                    Some(files) => Source::Files(files),
                    None => Source::Address(order.model.address.clone()),
                };
                let mut folder = fetch::model(source, Told::Stage).await?;
                folder.training_free = order.model.training_free;
                folder
            }),
        };
        // Kept only once a network could be built from them: a second try fetches anew.
        let runner = match order.device {
            DeviceChoice::WebGpu => match self.webgpu(&files, true).await {
                Ok(runner) => self.take(runner, Why::Asked),
                Err(reason) => {
                    let why = match reason {
                        WorkerError::NoWebGpu => Why::NoWebGpu,
                        failed => Why::WebGpuFailed(failed.to_string()),
                    };
                    let runner = self.cpu(&files).await?;
                    self.take(runner, why)
                }
            },
            DeviceChoice::Cpu => {
                let runner = self.cpu(&files).await?;
                self.take(runner, order.after.map_or(Why::Asked, Why::WebGpuFailed))
            }
            DeviceChoice::Nothing => {
                let runner = self.cpu(&files).await?;
                let why = match gpu::adapter_name().await {
                    Some(_) => Why::NotAsked,
                    None => Why::NoWebGpu,
                };
                self.take(runner, why)
            }
            DeviceChoice::Auto => {
                let runner = self.cpu(&files).await?;
                let adapter = gpu::adapter_name().await;
                let why = if adapter.is_some() {
                    Why::Measuring
                } else {
                    Why::NoWebGpu
                };
                let runner = self.take(runner, why);
                if adapter.is_some() {
                    spawn_local(self.clone().measure(Rc::clone(&files), Rc::clone(&runner)));
                }
                runner
            }
        };
        if runner.device == DeviceKind::Cpu {
            *self.inner.spare.borrow_mut() = Some(runner);
        }
        *self.inner.files.borrow_mut() = Some(files);
        Ok(())
    }

    /// Makes a runner the one that proposes, and tells the page.
    fn take(&self, runner: Runner, why: Why) -> Rc<Runner> {
        let runner = Rc::new(runner);
        *self.inner.runner.borrow_mut() = Some(Rc::clone(&runner));
        tell(&runner, why);
        runner
    }

    async fn cpu(&self, files: &Folder) -> Result<Runner> {
        let threads = self.inner.order.borrow().as_ref().and_then(|o| o.threads);
        build(files, On::Cpu { threads }, true)
            .await
            .map_err(|why| WorkerError::NotLoaded(Box::new(why)))
    }

    /// The model on WebGPU.
    async fn webgpu(&self, files: &Folder, show_stages: bool) -> Result<Runner> {
        if gpu::adapter_name().await.is_none() {
            return Err(WorkerError::NoWebGpu);
        }
        let engine = self.clone();
        gpu::hear_lost(move |reason| engine.lost(&reason));
        build(files, On::WebGpu, show_stages).await
    }

    /// Measures WebGPU in the background, and the processor; WebGPU takes over where it is faster.
    async fn measure(self, files: Rc<Folder>, cpu: Rc<Runner>) {
        let measured = async {
            let building = pin!(self.webgpu(&files, false));
            let patience = pin!(post::pause(PATIENCE));
            let gpu = match select(building, patience).await {
                Either::Left((built, _)) => Some(built?),
                Either::Right(((), _)) => None,
            };
            let gpu_ms = match &gpu {
                Some(gpu) => gpu.measure().await?,
                None => f64::from(PATIENCE),
            };
            let _turn = self.turn().await;
            Ok::<_, WorkerError>((gpu, gpu_ms, cpu.measure().await?))
        };
        match measured.await {
            Ok((Some(gpu), own_ms, other_ms))
                if own_ms < other_ms && self.inner.lost.borrow().is_none() =>
            {
                self.take(gpu, Why::Faster { own_ms, other_ms });
            }
            Ok((_, other_ms, own_ms)) => tell(&cpu, Why::Faster { own_ms, other_ms }),
            Err(reason) => tell(&cpu, Why::WebGpuFailed(reason.to_string())),
        }
    }

    /// A WebGPU device went away.
    fn lost(&self, reason: &str) {
        *self.inner.lost.borrow_mut() = Some(reason.to_owned());
        let running = self
            .inner
            .runner
            .borrow()
            .as_ref()
            .is_some_and(|runner| runner.device == DeviceKind::WebGpu);
        if running {
            let (engine, reason) = (self.clone(), reason.to_owned());
            spawn_local(async move {
                engine.fall_back(&reason).await.ok();
            });
        }
    }

    /// From WebGPU to the CPU.
    async fn fall_back(&self, reason: &str) -> Result<Rc<Runner>> {
        if let Some(runner) = self.inner.runner.borrow().clone()
            && runner.device == DeviceKind::Cpu
        {
            return Ok(runner);
        }
        let why = Why::WebGpuFailed(reason.to_owned());
        let spare = self.inner.spare.borrow().clone();
        if let Some(spare) = spare {
            *self.inner.runner.borrow_mut() = Some(Rc::clone(&spare));
            tell(&spare, why);
            return Ok(spare);
        }
        let files = self
            .inner
            .files
            .borrow()
            .clone()
            .ok_or(WorkerError::Broken)?;
        let runner = self.cpu(&files).await?;
        let runner = self.take(runner, why);
        *self.inner.spare.borrow_mut() = Some(Rc::clone(&runner));
        Ok(runner)
    }

    /// The model's files; loads the model where that has not happened.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn files(&self) -> Result<Rc<Folder>> {
        self.runner().await?;
        let files = self.inner.files.borrow().clone();
        files.ok_or(WorkerError::Broken)
    }

    /// Whether the loaded model is a map policy.
    pub fn draws_maps(&self) -> bool {
        let runner = self.inner.runner.borrow();
        runner.as_ref().is_some_and(|runner| runner.draws_maps())
    }

    /// The model of a folder as a reader, where it is the one that proposes.
    pub fn reader(&self, folder: &str) -> Option<Rc<second::Model>> {
        let order = self.inner.order.borrow();
        let same = order
            .as_ref()
            .is_some_and(|order| order.model.address == folder);
        let runner = self.inner.runner.borrow();
        runner.as_ref().filter(|_| same)?.reader()
    }

    /// Whether the person asked for WebGPU.
    pub fn wants_webgpu(&self) -> bool {
        let order = self.inner.order.borrow();
        order
            .as_ref()
            .is_some_and(|order| order.device == DeviceChoice::WebGpu)
    }

    /// Threads at most, where the person asked for that.
    pub fn most_threads(&self) -> Option<u32> {
        self.inner.order.borrow().as_ref()?.threads
    }

    /// Waits until nothing else is computed; nothing else is, as long as this is held.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.inner.turn.lock().await
    }

    /// Encodes a picture before anybody asks about it.
    pub async fn encode_ahead(&self, number: u32, decoded: Rc<Decoded>) {
        let runner = self.inner.runner.borrow().clone();
        let Some(runner) = runner else { return };
        // A click that is already there goes first.
        post::pause(0).await;
        if let Some(_turn) = self.inner.turn.try_lock() {
            let view = self.view(number, None);
            runner.encode(view, &decoded.pixels).await.ok();
        }
    }

    /// Proposes a crop: the message about it and the crop as PNG. With `inside`, only that part is looked at.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn propose(
        &self,
        job: u32,
        number: u32,
        decoded: &Decoded,
        question: &str,
        inside: Option<NormBox>,
    ) -> Result<(Proposed, Vec<u8>)> {
        let mut runner = self.runner().await?;
        let _turn = self.inner.turn.lock().await;
        if self.newest_job.get() != job {
            return Err(WorkerError::Superseded);
        }
        let start = post::now();
        // The device may have changed while this waited for its turn.
        if let Some(current) = self.inner.runner.borrow().clone() {
            runner = current;
        }
        let (width, height) = decoded.pixels.dimensions();
        let part = inside.map(|inside| inside.to_pixels(width, height));
        let view = self.view(number, part);
        let cut = part.map(|part| picture::crop(&decoded.pixels, part));
        let shown = cut.as_ref().unwrap_or(&decoded.pixels);
        let known = runner.knows(view);
        let (proposal, writing) = match self.on(&runner, view, shown, question, job).await {
            Err(reason) if runner.device == DeviceKind::WebGpu => {
                runner = self.fall_back(&reason.to_string()).await?;
                self.on(&runner, view, shown, question, job).await?
            }
            proposal => proposal?,
        };
        let inside = inside.unwrap_or(NormBox::FULL);
        let bbox = proposal.bbox.ok_or(WorkerError::NoBox)?;
        let evidence = proposal.evidence.as_ref();
        let evidence = evidence.map(|map| Evidence::of(map.width, map.height, &map.values));
        let quarters = (proposal.rotation / 90.0).round().rem_euclid(4.0) as u32;
        let smaller = part.map(|_| {
            let found = bbox.out_of(inside);
            // Of a picture on its side, rows of cells are no lines.
            let lines = evidence.as_ref().filter(|_| quarters.is_multiple_of(2));
            second_look(found, inside, lines, (width, height)).map(tidy)
        });
        let same = smaller == Some(None);
        let bbox = smaller.map_or(bbox, |smaller| smaller.unwrap_or(inside));
        let pixels = bbox.to_pixels(width, height);
        let milliseconds = post::now() - start;
        let crop = pictures::cut(decoded, pixels, quarters)?;
        let timings = proposal.timings;
        let once = |time: f64| if known { 0.0 } else { time };
        let proposed = Proposed {
            job,
            picture: number,
            bbox,
            pixels,
            present: proposal.present.map(|present| present as f32),
            chance: proposal
                .logprob
                .is_finite()
                .then(|| proposal.logprob.exp() as f32),
            milliseconds,
            parts: Parts {
                shrink: once(timings.image),
                encode: once(timings.vision),
                question: timings.prefill,
                read_off: timings.decode,
                known,
            },
            inside,
            same,
            quarters,
            device: runner.device,
            evidence,
            writing,
        };
        Ok((proposed, crop))
    }

    /// The places where the answer may stand, the likeliest first.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn places(
        &self,
        number: u32,
        decoded: &Decoded,
        question: &str,
    ) -> Result<Vec<Place>> {
        self.runner().await?;
        let _turn = self.inner.turn.lock().await;
        // The device may have changed while this waited for its turn.
        let runner = self.runner().await?;
        runner
            .places(self.view(number, None), &decoded.pixels, question)
            .await
    }

    /// Where a text policy looks.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn attention(
        &self,
        number: u32,
        decoded: &Decoded,
        question: &str,
    ) -> Result<Attention> {
        self.runner().await?;
        let _turn = self.inner.turn.lock().await;
        // The device may have changed while this waited for its turn.
        let runner = self.runner().await?;
        runner
            .attention(self.view(number, None), &decoded.pixels, question)
            .await
    }

    /// The picture as the network gets it.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn canvas(&self, decoded: &Decoded) -> Result<(RgbImage, Option<Tiles>)> {
        let runner = self.runner().await?;
        runner.canvas(&decoded.pixels, self.tiles_per_edge())
    }

    /// A proposal on a runner; ends early when its device is lost, where wgpu might wait forever.
    async fn on(
        &self,
        runner: &Runner,
        view: View,
        pixels: &RgbImage,
        question: &str,
        job: u32,
    ) -> Result<(Proposal, Option<Writing>)> {
        let proposing = runner.propose(view, pixels, question, Some(job));
        if runner.device == DeviceKind::Cpu {
            return proposing.await;
        }
        let lost = async {
            loop {
                if let Some(reason) = self.inner.lost.borrow().clone() {
                    return reason;
                }
                post::pause(20).await;
            }
        };
        match select(pin!(proposing), pin!(lost)).await {
            Either::Left((proposal, _)) => proposal,
            Either::Right((reason, _)) => Err(WorkerError::Device(reason)),
        }
    }
}
