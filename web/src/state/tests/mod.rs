//! Sequences of events, without a browser: a stand-in for worker and browser answers what is asked of it, in any order,
//! late, twice or never. `properties` holds for all of them; each single case of the rules has a test of its own beside it
//! (`asking`, `stage`, `turn`).

mod asking;
mod properties;
mod stage;
mod turn;

use std::collections::HashMap;

use grounding::{NormBox, PixelBox};

use super::*;
use crate::protocol::{DeviceKind, Parts, Proposed, Stage, ToWorker, Why};
use crate::samples::SAMPLES;
use crate::share::Shared;

/// What a crop is of.
#[derive(Clone, Debug, PartialEq)]
struct Cut {
    file: Key,
    bbox: NormBox,
    /// The question that the worker proposed it for.
    question: Option<String>,
}

/// The page with worker, browser and provider played by the test.
#[derive(Default)]
struct World {
    state: State,
    keys: Key,
    /// What the worker knows each picture's number by.
    files: HashMap<u32, Key>,
    crops: HashMap<Key, Cut>,
    /// Encoded pictures: of which file.
    encoded: HashMap<Key, Key>,
    /// What was asked of worker and browser and is not answered.
    open: Vec<Effect>,
    /// What went to a provider.
    sent: Vec<Asking>,
    now: f64,
}

fn edges(at: u8, side: u8) -> NormBox {
    let (at, side) = (f32::from(at % 60), f32::from(side % 30 + 5));
    NormBox {
        x1: at,
        y1: at,
        x2: at + side,
        y2: at + side,
    }
}

fn pressed(comparing: bool) -> Pressed {
    Pressed {
        comparing,
        copying: false,
        lacking: None,
        edge: 2_048,
        enlarge: 512,
    }
}

fn ready() -> Stage {
    Stage::Ready(Running {
        device: DeviceKind::Cpu,
        threads: 1,
        why: Why::NoWebGpu,
        tile: None,
        training_free: false,
    })
}

impl World {
    /// A page that is open and ready, with nothing on its stage.
    fn new() -> World {
        let mut world = World::default();
        world.state.question = "What is the total?".into();
        world.happens(Event::Open(Shared::default()));
        world.happens(Event::Model(ready()));
        world
    }

    /// The same, with the first sample and its box.
    fn opened() -> World {
        let mut world = World::new();
        world.answer_all();
        world
    }

    fn key(&mut self) -> Key {
        self.keys += 1;
        self.keys
    }

    fn happens(&mut self, event: Event) {
        let effects = update(&mut self.state, event);
        for effect in effects {
            match effect {
                Effect::PostPicture { picture, file } => {
                    self.files.insert(picture, file);
                    self.open.push(effect);
                }
                Effect::Send => self.send(),
                Effect::Post(_)
                | Effect::Fetch { .. }
                | Effect::Decode { .. }
                | Effect::Refuse { .. } => self.open.push(effect),
                _ => {}
            }
        }
        self.check();
    }

    fn type_in(&mut self, question: &str) {
        self.happens(Event::Question(question.into()));
    }

    fn choose(&mut self) -> Key {
        let file = self.key();
        self.happens(Event::Chosen { file });
        file
    }

    fn edit(&mut self, bbox: NormBox, how: How) {
        let now = self.now;
        self.happens(Event::Edit {
            bbox,
            finished: true,
            how,
            now,
        });
    }

    fn bbox(&self) -> NormBox {
        draw(&self.state).bbox.unwrap()
    }

    /// What was asked of worker or browser is answered well; `false` refuses it.
    fn answer(&mut self, asked: Effect, well: bool) {
        let why = || "refused".to_owned();
        let event = match asked {
            Effect::PostPicture { picture, .. } if well => Event::Accepted {
                picture,
                width: 1000,
                height: 1000,
            },
            Effect::PostPicture { picture, .. } => Event::Refused {
                picture,
                why: why(),
            },
            Effect::Decode { picture, .. } => Event::BrowserShows {
                picture,
                shows: well,
            },
            Effect::Fetch { visit, .. } => Event::Fetched {
                visit,
                file: if well { Ok(self.key()) } else { Err(why()) },
            },
            Effect::Refuse { job, why } => Event::ProposeRefused { job, why },
            Effect::Post(message) => match self.work(message, well) {
                Some(event) => event,
                None => return,
            },
            _ => return,
        };
        self.happens(event);
    }

    fn work(&mut self, message: ToWorker, well: bool) -> Option<Event> {
        let why = || "refused".to_owned();
        Some(match message {
            ToWorker::Propose { job, .. } if !well => Event::ProposeRefused { job, why: why() },
            ToWorker::Propose {
                job,
                picture,
                question,
                inside,
            } => {
                // Each question has a place of its own.
                let at = question
                    .bytes()
                    .fold(picture as u8, |sum, byte| sum.wrapping_add(byte));
                let bbox = edges(at, at);
                let cut = self.cut(picture, bbox, Some(question));
                Event::Proposed {
                    proposed: Box::new(proposed(job, picture, bbox, inside)),
                    crop: Some(cut),
                }
            }
            ToWorker::Cut { job, .. } if !well => Event::Cut {
                job,
                pixels: Err(why()),
                crop: None,
            },
            ToWorker::Cut {
                job, picture, bbox, ..
            } => Event::Cut {
                job,
                pixels: Ok(bbox.to_pixels(1000, 1000)),
                crop: Some(self.cut(picture, bbox, None)),
            },
            ToWorker::Encode { job, .. } if !well => Event::AskEnded {
                job,
                why: Some(why()),
            },
            ToWorker::Encode { job, picture, .. } => Event::Encoded {
                job,
                file: Some(self.encode(picture)),
            },
            ToWorker::Enlarge {
                job,
                picture,
                pixels,
                ..
            } => {
                let cut = self.crops.values().find(|cut| {
                    cut.file == self.files[&picture] && cut.bbox.to_pixels(1000, 1000) == pixels
                });
                let cut = cut.cloned().unwrap();
                let key = self.key();
                self.crops.insert(key, cut);
                Event::Enlarged {
                    job,
                    file: Some(key),
                }
            }
            ToWorker::Turn { picture } => Event::Turned {
                picture,
                file: if well { Ok(self.key()) } else { Err(why()) },
            },
            ToWorker::Blank { job, .. } => Event::Blanked {
                job,
                file: Some(self.key()),
            },
            ToWorker::Places { job, .. } => Event::Places {
                job,
                places: Ok(vec![Place {
                    bbox: edges(3, 3),
                    share: 1.0,
                }]),
            },
            _ => return None,
        })
    }

    fn cut(&mut self, picture: u32, bbox: NormBox, question: Option<String>) -> Key {
        let key = self.key();
        let file = self.files[&picture];
        let cut = Cut {
            file,
            bbox,
            question,
        };
        self.crops.insert(key, cut);
        key
    }

    fn encode(&mut self, picture: u32) -> Key {
        let key = self.key();
        self.encoded.insert(key, self.files[&picture]);
        key
    }

    /// All that is open is answered well, in its order, until nothing is.
    fn answer_all(&mut self) {
        while !self.open.is_empty() {
            let asked = self.open.remove(0);
            self.answer(asked, true);
        }
    }

    /// Like [`World::answer_all`], but the worker refuses every picture.
    fn refuse_pictures(&mut self) {
        while !self.open.is_empty() {
            let asked = self.open.remove(0);
            let picture = matches!(asked, Effect::PostPicture { .. } | Effect::Decode { .. });
            self.answer(asked, !picture);
        }
    }

    /// What goes to a provider belongs together, and is what is seen.
    fn send(&mut self) {
        let asking = self.state.asking.clone().unwrap();
        let about = &asking.about;
        let crop = &self.crops[&asking.crop.unwrap()];
        assert_eq!(crop.file, about.file, "the crop is the picture's");
        assert_eq!(self.encoded[&asking.picture.unwrap()], about.file);
        let seen = &self.crops[&about.crop];
        assert_eq!(seen.file, crop.file);
        let pixels = |cut: &Cut| cut.bbox.to_pixels(1000, 1000);
        assert_eq!(pixels(seen), pixels(crop), "the crop is the box's");
        if let Some(question) = &seen.question {
            assert_eq!(*question, about.question, "the box is the question's");
        }
        let on_stage = self.state.stage.as_ref().map(|shown| shown.picture.file);
        assert_eq!(on_stage, Some(about.file));
        self.sent.push(asking);
    }

    /// What is shown belongs together.
    fn check(&self) {
        let view = draw(&self.state);
        if let Some(crop) = &view.crop {
            let cut = &self.crops[&crop.key];
            assert_eq!(Some(cut.file), view.file, "the crop is the picture's");
            assert_eq!(cut.bbox, crop.bbox, "the crop is the box's");
            if let (Some(question), None) = (&cut.question, &crop.other) {
                assert_eq!(question, self.state.asked(), "else it is marked");
            }
            assert!(self.state.uses(crop.key));
        }
        for (shown, about) in [
            (view.answer, &self.state.answer),
            (view.runs, &self.state.runs),
        ] {
            if shown {
                let about = about.as_ref().unwrap();
                assert_eq!(Some(about.file), view.file, "the answer is the picture's");
            }
        }
        if let Some(asking) = &self.state.asking {
            let on_stage = self.state.stage.as_ref().map(|shown| shown.picture.file);
            assert_eq!(on_stage, Some(asking.about.file));
        }
        assert!(self.state.history.steps.len() <= 40);
    }
}

fn proposed(job: u32, picture: u32, bbox: NormBox, inside: Option<NormBox>) -> Proposed {
    Proposed {
        job,
        picture,
        bbox,
        pixels: bbox.to_pixels(1000, 1000),
        chance: None,
        present: None,
        milliseconds: 1.0,
        parts: Parts::default(),
        inside: inside.unwrap_or(NormBox::FULL),
        same: false,
        quarters: 0,
        device: DeviceKind::Cpu,
        evidence: None,
        writing: None,
    }
}
