//! The worker module: it owns pictures and model, so that nothing is computed on the page's main thread.
//!
//! The order of reading: here messages arrive ([`cropvlm_web::protocol`]); [`pictures`] decodes, cuts and encodes;
//! [`fetch`] brings the model's files, [`kept`] has those that stayed; [`engine`] chooses a device and proposes; [`runner`] is
//! the model on one of them, [`threads`] modules on several threads; [`lesson`] is GRPO, live; [`reader`] answers; [`second`] loads what this module
//! is too small for: SmolVLM, and all that needs burn; [`gpu`] is what the browser says about WebGPU; [`error`] what can go wrong; [`post`] is the way back.
//!
//! Each message is handled by a task of its own: a picture is decoded while the model is still being fetched, and
//! a click waits for both without blocking either.

mod engine;
mod error;
mod fetch;
mod gpu;
mod kept;
mod lesson;
mod pictures;
mod post;
mod reader;
mod runner;
mod second;
mod threads;

use std::rc::Rc;

use cropvlm_web::protocol::{FromWorker, ToWorker};
use js_sys::Array;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, File, MessageEvent};

use crate::engine::{Engine, Order};
use crate::fetch::Chosen;
use crate::lesson::{LessonRequest, Lessons};
use crate::pictures::{Pictures, Refusal};
use crate::reader::Reader;

/// What lives as long as the worker.
struct Worker {
    engine: Engine,
    pictures: Pictures,
    lessons: Lessons,
    reader: Reader,
}

fn main() {
    // A panic ends this module: the page is told why and starts another worker.
    std::panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or("unknown");
        post::message(&FromWorker::Broken {
            why: why.to_owned(),
        });
    }));
    let worker = Rc::new(Worker {
        engine: Engine::default(),
        pictures: Pictures::default(),
        lessons: Lessons::default(),
        reader: Reader::default(),
    });
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let parts: Array = event.data().unchecked_into();
        match serde_wasm_bindgen::from_value(parts.get(0)) {
            Ok(message) => handle(&worker, message, parts.get(1)),
            Err(error) => post::message(&FromWorker::Broken {
                why: error.to_string(),
            }),
        }
    });
    post::scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    post::message(&FromWorker::Hello);
}

/// The `Blob`s of a payload.
fn blobs(payload: &JsValue) -> impl Iterator<Item = Blob> {
    let all = payload.dyn_ref::<Array>().cloned().unwrap_or_default();
    all.into_iter().filter_map(|file| file.dyn_into().ok())
}

/// Files of this computer by their names; none where the model is elsewhere.
fn chosen(payload: &JsValue) -> Option<Chosen> {
    let named = blobs(payload).filter_map(|blob| blob.dyn_into::<File>().ok());
    let files: Chosen = named.map(|file| (file.name(), file)).collect();
    (!files.is_empty()).then_some(files)
}

fn handle(worker: &Rc<Worker>, message: ToWorker, payload: JsValue) {
    let worker = Rc::clone(worker);
    match message {
        ToWorker::Start {
            model,
            device,
            threads,
            after,
            tiles_per_edge,
        } => worker.engine.start(Order {
            files: chosen(&payload),
            model,
            device,
            threads,
            after,
            tiles_per_edge,
        }),
        ToWorker::TilesPerEdge(tiles_per_edge) => worker.engine.set_tiles_per_edge(tiles_per_edge),
        ToWorker::Picture { picture } => {
            let Ok(file) = payload.dyn_into::<Blob>() else {
                return;
            };
            // A lesson about the picture before it is of no more use.
            worker.lessons.supersede(0);
            let decoding = worker.pictures.add(picture, file);
            spawn_local(async move {
                match decoding.await {
                    Ok(decoded) => {
                        let (width, height) = decoded.pixels.dimensions();
                        worker.pictures.keep_only(picture);
                        post::message(&FromWorker::Picture {
                            picture,
                            width,
                            height,
                            notes: decoded.notes.clone(),
                            redraw: decoded.redraw,
                        });
                        worker.engine.encode_ahead(picture, decoded).await;
                        worker.lessons.leave(picture).await;
                    }
                    Err(Refusal { why, other }) => {
                        worker.pictures.forget(picture);
                        post::message(&FromWorker::PictureRefused {
                            picture,
                            why,
                            other,
                        });
                    }
                }
            });
        }
        ToWorker::Show { picture } => spawn_local(async move {
            let shown = worker.pictures.get(picture).await;
            let message = FromWorker::Shown { picture };
            match shown.and_then(|decoded| pictures::shown(&decoded)) {
                Ok((file, media_type)) => post::with_file(&message, &file, media_type),
                Err(_) => post::message(&message),
            }
        }),
        ToWorker::Propose {
            job,
            picture,
            question,
            inside,
        } => {
            worker.engine.newest_job.set(job);
            spawn_local(async move {
                let proposed = match worker.pictures.get(picture).await {
                    Ok(decoded) => {
                        worker
                            .engine
                            .propose(job, picture, &decoded, &question, inside)
                            .await
                    }
                    Err(why) => Err(why),
                };
                match proposed {
                    Ok((proposed, crop)) => {
                        post::with_file(&FromWorker::Proposed(proposed), &crop, "image/png")
                    }
                    Err(why) => post::message(&FromWorker::ProposeRefused {
                        job,
                        why: why.to_string(),
                    }),
                }
            });
        }
        ToWorker::Enlarge {
            job,
            picture,
            pixels,
            quarters,
            width,
            height,
        } => spawn_local(async move {
            let enlarged =
                worker.pictures.get(picture).await.and_then(|decoded| {
                    pictures::enlarge(&decoded, pixels, quarters, (width, height))
                });
            match enlarged {
                Ok(file) => post::with_file(&FromWorker::Enlarged { job }, &file, "image/png"),
                Err(why) => post::message(&FromWorker::EncodeRefused {
                    job,
                    why: why.to_string(),
                }),
            }
        }),
        ToWorker::Answer {
            job,
            model,
            prompt,
            weighed,
        } => {
            worker.reader.supersede(job);
            let files: Array = payload.dyn_into().unwrap_or_default();
            let files = files
                .iter()
                .filter_map(|file| file.dyn_into().ok())
                .collect();
            spawn_local(async move {
                let reader = &worker.reader;
                let answer = reader.answer(&worker.engine, job, &model, &prompt, weighed, files);
                let answer = answer.await.map_err(|why| why.to_string());
                post::message(&FromWorker::Answered { job, answer });
            });
        }
        ToWorker::StopAnswer { job } => worker.reader.stop(job),
        ToWorker::Blank { job, width, height } => match pictures::blank(width, height) {
            Ok(file) => post::with_file(&FromWorker::Blank { job }, &file, "image/png"),
            Err(why) => post::message(&FromWorker::EncodeRefused {
                job,
                why: why.to_string(),
            }),
        },
        ToWorker::Places {
            job,
            picture,
            question,
        } => spawn_local(async move {
            let places = match worker.pictures.get(picture).await {
                Ok(decoded) => worker.engine.places(picture, &decoded, &question).await,
                Err(why) => Err(why),
            };
            let places = places.map_err(|why| why.to_string());
            post::message(&FromWorker::Places { job, places });
        }),
        ToWorker::Turn { picture } => spawn_local(async move {
            let message = FromWorker::Turned { picture };
            let decoded = worker.pictures.get(picture).await;
            match decoded.and_then(|decoded| pictures::turned(&decoded)) {
                Ok(file) => post::with_file(&message, &file, "image/png"),
                Err(_) => post::message(&message),
            }
        }),
        ToWorker::Cut {
            job,
            picture,
            bbox,
            quarters,
        } => spawn_local(async move {
            let cut = worker.pictures.get(picture).await.and_then(|decoded| {
                let (width, height) = decoded.pixels.dimensions();
                let pixels = bbox.to_pixels(width, height);
                Ok((pixels, pictures::cut(&decoded, pixels, quarters)?))
            });
            match cut {
                Ok((pixels, crop)) => {
                    let message = FromWorker::Cut {
                        job,
                        pixels: Ok(pixels),
                    };
                    post::with_file(&message, &crop, "image/png");
                }
                Err(why) => post::message(&FromWorker::Cut {
                    job,
                    pixels: Err(why.to_string()),
                }),
            }
        }),
        ToWorker::Attend {
            job,
            picture,
            question,
        } => spawn_local(async move {
            let attention = match worker.pictures.get(picture).await {
                Ok(decoded) => worker.engine.attention(picture, &decoded, &question).await,
                Err(why) => Err(why),
            };
            let attention = attention.map_err(|why| why.to_string());
            post::message(&FromWorker::Attended { job, attention });
        }),
        ToWorker::Learn {
            job,
            picture,
            question,
            answer,
            settings,
            act,
        } => {
            worker.lessons.supersede(job);
            let request = LessonRequest {
                job,
                picture,
                question,
                answer,
                settings,
                act,
            };
            spawn_local(async move {
                let lesson = match worker.pictures.get(picture).await {
                    Ok(decoded) => {
                        worker
                            .lessons
                            .learn(&worker.engine, &worker.reader, &decoded, &request)
                            .await
                    }
                    Err(why) => Err(why),
                };
                let lesson = lesson.map_err(|why| why.to_string());
                post::message(&FromWorker::Learned { job, lesson });
            });
        }
        ToWorker::Canvas { picture } => spawn_local(async move {
            let canvas = match worker.pictures.get(picture).await {
                Ok(decoded) => worker.engine.canvas(&decoded).await,
                Err(why) => Err(why),
            };
            // A picture that is gone, or a model that does not load, has told so already.
            let (file, tiles) = match canvas {
                Ok((canvas, tiles)) => (picture::encode_png(&canvas).ok(), tiles),
                Err(_) => (None, None),
            };
            let message = FromWorker::Canvas { picture, tiles };
            match file {
                Some(file) => post::with_file(&message, &file, "image/png"),
                None => post::message(&message),
            }
        }),
        ToWorker::Encode { job, picture, edge } => spawn_local(async move {
            let encoded = match worker.pictures.get(picture).await {
                Ok(decoded) => pictures::encode_to_send(&decoded, edge),
                Err(why) => Err(why),
            };
            match encoded {
                Ok(sent) => {
                    let message = FromWorker::Encoded {
                        job,
                        width: sent.width,
                        height: sent.height,
                    };
                    post::with_file(&message, &sent.file, sent.media_type);
                }
                Err(why) => post::message(&FromWorker::EncodeRefused {
                    job,
                    why: why.to_string(),
                }),
            }
        }),
    }
}
