//! The graphics card: found, checked against the processor, timed against it.

use kernels::gpu::{Gpu, GpuError};
use kernels::{Features, Maps};
use mapnet::gpu::GpuNet;
use mapnet::proposal::Clock;
use mapnet::{MapError, MapModel, canvas};
use tensors::ModelFiles;

use crate::host::rest;
use crate::{Backend, Device, Host, Reason, Result};

/// Milliseconds that a timed probe lasts at least: well above what any clock resolves.
const PROBE: f64 = 50.0;

/// Pixels of the small canvas that a card is timed with first.
const SMALL: usize = 128 * 128;

/// So many times as long as the processor is slower by far. What a submission costs by itself is some milliseconds at most.
const FAR: f64 = 10.0;

/// A graphics card with the network on it, checked.
#[derive(Debug)]
pub(crate) struct Card(GpuNet);

impl Card {
    /// Encodes a canvas.
    pub(crate) async fn encode(
        &self,
        values: &[f32],
        size: [usize; 2],
    ) -> std::result::Result<Features, MapError> {
        Ok(self.0.encode(values, size).await?)
    }

    /// Decodes a question.
    pub(crate) async fn decode(
        &self,
        levels: &[Maps; 3],
        hints: &[f32],
        steer: &[f32],
    ) -> std::result::Result<Vec<f32>, MapError> {
        Ok(self.0.decode(levels, hints, steer).await?)
    }

    /// Takes the card away.
    #[cfg(test)]
    pub(crate) fn lose(&self) {
        self.0.gpu().lose();
    }
}

/// The card to use, if any, and where the network runs.
///
/// # Errors
/// Broken files; cancelled. A card that must not be used is no error: the reason says so.
pub(crate) async fn choose(
    files: &ModelFiles,
    model: &MapModel,
    device: Device,
    host: &impl Host,
) -> Result<(Option<Card>, Backend)> {
    if device == Device::Cpu {
        return Ok((None, Backend::cpu(device, Reason::AskedFor)));
    }
    let on_cpu = |reason| Ok((None, Backend::cpu(device, reason)));
    let plain = match Gpu::open().await {
        Ok(gpu) => gpu,
        Err(refused) => return on_cpu(Reason::Refused(refused)),
    };
    // Where f16 cannot be had, gains nothing, or is too coarse for these weights, it is f32.
    let half = match plain.is_software() {
        true => None,
        false => Gpu::open_half().await.ok(),
    };
    let half = match half {
        Some(gpu) => checked(gpu, files, model, host).await?.ok(),
        None => None,
    };
    let net = match half {
        Some(net) => net,
        None => match checked(plain, files, model, host).await? {
            Ok(net) => net,
            Err(refused) => return on_cpu(Reason::Refused(refused)),
        },
    };
    let reason = match device {
        Device::Auto => match probe(&net, model).await {
            Ok(measured) => measured,
            Err(refused) => return on_cpu(Reason::Refused(refused)),
        },
        _ => Reason::AskedFor,
    };
    if matches!(reason, Reason::Measured { gpu, cpu, .. } if gpu >= cpu) {
        return on_cpu(reason);
    }
    let backend = Backend {
        name: "wgpu",
        adapter: Some(net.gpu().name().to_owned()),
        is_fallback: net.gpu().is_software(),
        is_half: net.gpu().is_half(),
        reason,
    };
    Ok((Some(Card(net)), backend))
}

/// The network on a card, if it computes there what it computes on the processor.
///
/// # Errors
/// As [`choose`]; the inner one: why the card must not be used.
async fn checked(
    gpu: Gpu,
    files: &ModelFiles,
    model: &MapModel,
    host: &impl Host,
) -> Result<std::result::Result<GpuNet, GpuError>> {
    let net = GpuNet::load(files, &gpu)?;
    rest(host).await?;
    let checked = net.check(model).await;
    rest(host).await?;
    Ok(checked.map(|()| net))
}

/// Times both, first with a small canvas, then, unless that decides, with one of the usual size. A card that is faster with
/// the small one, where what a submission costs by itself weighs most, is faster with all. One that is slower by far is not
/// asked for the other: a software adapter would take a minute.
async fn probe(net: &GpuNet, model: &MapModel) -> std::result::Result<Reason, GpuError> {
    let usual = model.config().canvas_pixels;
    let small = both(net, model, SMALL.min(usual)).await?;
    match small {
        Reason::Measured { gpu, cpu, .. } if gpu < cpu || gpu > FAR * cpu => Ok(small),
        _ => both(net, model, usual).await,
    }
}

/// Encodes a square canvas on both, each until that takes long enough to be measured.
async fn both(
    net: &GpuNet,
    model: &MapModel,
    pixels: usize,
) -> std::result::Result<Reason, GpuError> {
    let [width, height] = canvas::canvas_size(pixels, 1, 1);
    let size = [height as usize, width as usize];
    let pixels = size[0] * size[1];
    let values: Vec<f32> = (0..pixels).map(|i| (i % 13) as f32 / 13.0).collect();
    net.encode(&values, size).await?; // the card's memory is there from now on
    let gpu = timed(async || net.encode(&values, size).await.map(drop)).await?;
    let cpu = timed(async || {
        model.encoder().encode(values.clone(), size);
        Ok::<_, GpuError>(())
    })
    .await?;
    Ok(Reason::Measured { pixels, gpu, cpu })
}

/// Milliseconds that some work takes, on average.
async fn timed<E>(
    mut work: impl AsyncFnMut() -> std::result::Result<(), E>,
) -> std::result::Result<f64, E> {
    let clock = Clock::start();
    for rounds in 1.. {
        work().await?;
        let spent = clock.ms();
        if spent >= PROBE {
            return Ok(spent / f64::from(rounds));
        }
    }
    Ok(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{EncodeOptions, Engine, ProposeOptions, Quiet};

    #[test]
    fn a_lost_card_is_an_error_once_and_what_follows_is_computed_on_the_processor() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/default"));
        let files = ModelFiles::from_dir(folder).unwrap();
        let engine = pollster::block_on(Engine::load(&files, Device::Gpu, &Quiet)).unwrap();
        let Some(card) = engine.card() else {
            std::io::Write::write_all(&mut std::io::stderr(), b"no adapter: skipped\n").ok();
            return;
        };
        let picture = picture::RgbImage::from_pixel(90, 120, image::Rgb([200, 190, 180]));
        let small = EncodeOptions {
            longest_edge: Some(64),
            within: None,
        };
        let encode = || pollster::block_on(engine.encode(&picture, &small, &Quiet));
        let ask = |encoded| {
            let options = ProposeOptions::default();
            pollster::block_on(engine.propose(encoded, "What is it?", &options, &Quiet))
        };
        let encoded = encode().unwrap();
        card.lose();
        let error = ask(&encoded).unwrap_err();
        assert_eq!(error.code(), "device-failed", "{error}");
        let backend = engine.backend();
        assert_eq!((backend.name, backend.is_fallback), ("cpu", true));
        assert_eq!(backend.reason, Reason::Failed(error.to_string()));
        // What was encoded on the card is good on the processor.
        ask(&encoded).unwrap();
        ask(&encode().unwrap()).unwrap();
    }

    #[test]
    fn a_probe_goes_on_until_it_can_be_measured() {
        let mut rounds = 0u32;
        let work = async || {
            rounds += 1;
            std::thread::sleep(std::time::Duration::from_millis(2));
            Ok::<_, GpuError>(())
        };
        let ms = pollster::block_on(timed(work)).unwrap();
        // It slept at least so long each time, and so often that one round's error does not count.
        assert!(ms >= 2.0, "{ms}");
        assert!(f64::from(rounds) * ms >= PROBE - 1e-6, "{rounds} x {ms}");
    }
}
