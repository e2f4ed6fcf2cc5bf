//! Sequences of events, without a browser: a stand-in for worker and browser answers what is asked of it, in any order,
//! late, twice or never. Each single case of the rules has a test of its own beside the properties.

use std::collections::HashMap;

use grounding::{NormBox, PixelBox};
use proptest::prelude::*;

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
        milliseconds: 1.0,
        tile: None,
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
            ToWorker::Cut { job, picture, bbox } => Event::Cut {
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
        milliseconds: 1.0,
        parts: Parts::default(),
        inside: inside.unwrap_or(NormBox::FULL),
        same: false,
        device: DeviceKind::Cpu,
        evidence: None,
        writing: None,
    }
}

/// What a person or the world may do next.
#[derive(Clone, Debug)]
enum Act {
    Choose,
    Sample(usize),
    Address,
    Link(bool),
    Type(u8),
    Suggest(u8),
    Propose,
    LookInside,
    Edit(u8, u8, bool, u8),
    Cancel,
    Size(u8),
    Reset,
    Seek,
    TakePlace,
    Undo(bool),
    GoTo(u8),
    Ask(bool),
    Stop,
    Break,
    Wait(u8),
    /// Answers what is open: which, well, and whether it is answered again later.
    Answer(u8, bool, bool),
    EndAnswer,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Choose),
        2 => (0usize..6).prop_map(Act::Sample),
        1 => Just(Act::Address),
        1 => any::<bool>().prop_map(Act::Link),
        4 => (0u8..4).prop_map(Act::Type),
        1 => (0u8..4).prop_map(Act::Suggest),
        4 => Just(Act::Propose),
        1 => Just(Act::LookInside),
        4 => (any::<u8>(), any::<u8>(), any::<bool>(), 0u8..4).prop_map(|(a, b, c, d)| Act::Edit(a, b, c, d)),
        1 => Just(Act::Cancel),
        1 => any::<u8>().prop_map(Act::Size),
        1 => Just(Act::Reset),
        1 => Just(Act::Seek),
        1 => Just(Act::TakePlace),
        3 => any::<bool>().prop_map(Act::Undo),
        1 => any::<u8>().prop_map(Act::GoTo),
        5 => any::<bool>().prop_map(Act::Ask),
        1 => Just(Act::Stop),
        1 => Just(Act::Break),
        1 => any::<u8>().prop_map(Act::Wait),
        24 => (any::<u8>(), prop::bool::weighted(0.85), prop::bool::weighted(0.2))
            .prop_map(|(a, b, c)| Act::Answer(a, b, c)),
        2 => Just(Act::EndAnswer),
    ]
}

impl World {
    fn acts(&mut self, act: Act) {
        let question = |n: u8| ["", "What is the total?", "What is the date?", "Who?"][n as usize];
        let now = self.now;
        let event = match act {
            Act::Choose => {
                self.choose();
                return;
            }
            Act::Sample(at) => Event::Sample(&SAMPLES[at]),
            Act::Address => Event::Address("https://example.org/a.png".into()),
            Act::Link(own) => Event::Link(Shared {
                picture: (!own).then(|| "https://example.org/b.png".into()),
                question: Some("Who?".into()),
                bbox: Some(edges(9, 9)),
            }),
            Act::Type(n) => Event::Question(question(n).into()),
            Act::Suggest(n) => Event::Suggested(question(n).into()),
            Act::Propose => Event::Propose,
            Act::LookInside => Event::LookInside,
            Act::Edit(at, side, finished, how) => Event::Edit {
                bbox: edges(at, side),
                finished,
                how: [How::Drawn, How::Dragged, How::Stepped, How::Picked][how as usize],
                now,
            },
            Act::Cancel => Event::EditCancelled,
            Act::Size(by) => Event::Size {
                factor: f32::from(by) / 64.0,
                finished: true,
                now,
            },
            Act::Reset => Event::Reset { now },
            Act::Seek => Event::Seek,
            Act::TakePlace => Event::TakePlace { at: 0, now },
            Act::Undo(back) => Event::Undo(if back { -1 } else { 1 }),
            Act::GoTo(at) => Event::GoTo(at as usize % 8),
            Act::Ask(comparing) => Event::Ask(pressed(comparing)),
            Act::Stop => Event::Stop,
            Act::Break => Event::Broken {
                why: "broken".into(),
                started: true,
            },
            Act::Wait(ms) => {
                self.now += f64::from(ms) * 10.0;
                return;
            }
            Act::Answer(which, well, again) => {
                if !self.open.is_empty() {
                    let at = which as usize % self.open.len();
                    let asked = self.open.remove(at);
                    if again {
                        self.open.push(asked.clone());
                    }
                    self.answer(asked, well);
                }
                return;
            }
            Act::EndAnswer => match &self.state.asking {
                Some(asking) => Event::AskEnded {
                    job: asking.job,
                    why: None,
                },
                None => return,
            },
        };
        self.happens(event);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, in any order: what is shown and what is sent belong to the same picture, question and box (see
    /// `World::check` and `World::send`). And when all has been answered, the page is not stuck.
    #[test]
    fn what_is_shown_and_sent_belongs_together(acts in prop::collection::vec(act(), 1..60)) {
        let mut world = World::new();
        for act in acts {
            world.acts(act);
        }
        world.answer_all();
        let busy = world.state.click.is_some() || world.state.cutting.is_some();
        prop_assert!(!busy, "{:?}", world.state);
        prop_assert!(world.state.incoming.is_empty());
        prop_assert!(world.state.pending.is_none());
        prop_assert!(draw(&world.state).phase != "working");
    }

    /// A message of a job that nobody waits for any more changes nothing at all.
    #[test]
    fn a_late_message_changes_nothing(acts in prop::collection::vec(act(), 1..40), job in 1_000_000u32..1_000_010) {
        let mut world = World::new();
        for act in acts {
            world.acts(act);
        }
        // The worker's answers to older jobs, and those to jobs that never were.
        let live = live_jobs(&world.state);
        let newest = world.state.numbers;
        let mut late: Vec<u32> = (1..=newest).filter(|old| !live.contains(old)).collect();
        late.push(job);
        for job in late {
            let before = world.state.clone();
            let bbox = edges(1, 1);
            let picture = world.state.newest().map_or(0, |picture| picture.number);
            for event in [
                Event::Proposed { proposed: Box::new(proposed(job, picture, bbox, None)), crop: Some(7) },
                Event::ProposeRefused { job, why: "late".into() },
                Event::Cut { job, pixels: Ok(PixelBox { x1: 0, y1: 0, x2: 1, y2: 1 }), crop: Some(7) },
                Event::Places { job, places: Ok(Vec::new()) },
                Event::Attended { job, attention: Err("late".into()) },
                Event::Encoded { job, file: Some(7) },
                Event::Enlarged { job, file: Some(7) },
                Event::Blanked { job, file: Some(7) },
                Event::AskEnded { job, why: Some("late".into()) },
                Event::Fetched { visit: job, file: Ok(7) },
            ] {
                let effects = update(&mut world.state, event);
                prop_assert!(effects.is_empty());
                prop_assert_eq!(&world.state, &before);
            }
        }
    }

    /// Files that the worker refuses change nothing but the sentence about them.
    #[test]
    fn a_refused_file_changes_nothing(acts in prop::collection::vec(act(), 0..30), files in 1usize..4) {
        let mut world = World::new();
        for act in acts {
            world.acts(act);
        }
        world.answer_all();
        let before = (draw(&world.state), world.state.history.clone());
        for _ in 0..files {
            world.choose();
        }
        world.refuse_pictures();
        let after = draw(&world.state);
        prop_assert_eq!(after.message.as_deref(), Some("refused"));
        let (mut expected, history) = before;
        expected.message.clone_from(&after.message);
        expected.note = String::new();
        prop_assert_eq!(after, expected);
        prop_assert_eq!(&world.state.history, &history);
    }
}

/// Jobs whose answers are still waited for.
fn live_jobs(state: &State) -> Vec<u32> {
    let jobs = [
        state.click.as_ref().map(|click| click.job),
        state.cutting.as_ref().map(|(job, _)| *job),
        state.seeking,
        state.attending.as_ref().map(|(job, ..)| *job),
        state.asking.as_ref().map(|asking| asking.job),
        state.visit.as_ref().map(|visit| visit.number),
    ];
    jobs.into_iter().flatten().collect()
}

#[test]
fn ask_after_the_question_was_edited_proposes_first_then_asks() {
    let mut world = World::opened();
    world.type_in("What is the date?");
    let view = draw(&world.state);
    assert_eq!(
        view.crop.unwrap().other.as_deref(),
        Some("What is the total?")
    );
    world.happens(Event::Ask(pressed(false)));
    assert!(draw(&world.state).asking);
    assert!(world.sent.is_empty(), "the old crop is not sent");
    world.answer_all();
    let [sent] = &world.sent[..] else {
        panic!("one press is one question");
    };
    assert_eq!(sent.about.question, "What is the date?");
    let crop = &world.crops[&sent.about.crop];
    assert_eq!(crop.question.as_deref(), Some("What is the date?"));
    assert_eq!(draw(&world.state).crop.unwrap().other, None);
}

#[test]
fn compare_proposes_first_as_well_and_a_failure_asks_nothing() {
    let mut world = World::opened();
    world.type_in("What is the date?");
    world.happens(Event::Ask(pressed(true)));
    let asked = world.open.remove(0);
    world.answer(asked, false);
    world.answer_all();
    assert!(world.sent.is_empty());
    assert_eq!(world.state.ask_message.as_deref(), Some("refused"));
    assert!(!draw(&world.state).asking);
    world.happens(Event::Ask(pressed(true)));
    world.answer_all();
    assert!(world.sent[0].comparing && world.sent[0].blank.is_some());
}

#[test]
fn a_box_that_a_person_drew_serves_any_question_and_is_cut_before_it_is_sent() {
    let mut world = World::opened();
    world.edit(edges(40, 20), How::Drawn);
    world.type_in("Who?");
    world.happens(Event::Ask(pressed(false)));
    world.answer_all();
    let crop = &world.crops[&world.sent[0].about.crop];
    assert_eq!(crop.bbox, edges(40, 20));
    assert_eq!(world.sent[0].about.question, "Who?");
}

#[test]
fn another_picture_takes_answers_verdicts_and_errors_away() {
    let mut world = World::opened();
    for comparing in [false, true] {
        world.happens(Event::Ask(pressed(comparing)));
        world.answer_all();
        let job = world.state.asking.as_ref().unwrap().job;
        let why = Some("no credit".to_owned());
        world.happens(Event::AskEnded { job, why });
    }
    let view = draw(&world.state);
    assert!(view.answer && view.runs && view.ask_message.is_some());
    world.choose();
    world.answer_all();
    let view = draw(&world.state);
    assert!(!view.answer && !view.runs && view.ask_message.is_none());
    // A question that is on its way is ended, too.
    world.happens(Event::Propose);
    world.type_in("Who?");
    world.happens(Event::Propose);
    world.answer_all();
    world.happens(Event::Ask(pressed(false)));
    world.answer_all();
    let job = world.state.asking.as_ref().unwrap().job;
    world.happens(Event::Sample(&SAMPLES[2]));
    world.answer_all();
    assert!(world.state.asking.is_none());
    world.happens(Event::AskEnded {
        job,
        why: Some("late".into()),
    });
    assert_eq!(world.state.ask_message, None);
}

#[test]
fn an_answer_to_another_question_or_crop_says_so() {
    let mut world = World::opened();
    world.happens(Event::Ask(pressed(false)));
    world.answer_all();
    assert_eq!(draw(&world.state).answer_note, None);
    world.type_in("Who?");
    let note = draw(&world.state).answer_note.unwrap();
    assert!(note.contains("What is the total?"), "{note}");
    world.type_in("What is the total?");
    world.edit(edges(2, 9), How::Dragged);
    world.answer_all();
    let note = draw(&world.state).answer_note.unwrap();
    assert!(note.contains("another crop"), "{note}");
}

#[test]
fn a_refused_file_while_the_page_opens_leaves_the_sample_usable() {
    let mut world = World::new();
    // The file comes before the sample does.
    world.choose();
    for asked in std::mem::take(&mut world.open) {
        let picture = matches!(asked, Effect::PostPicture { .. } | Effect::Decode { .. });
        world.answer(asked, !picture);
    }
    world.answer_all();
    let view = draw(&world.state);
    assert!(view.file.is_some() && view.size.is_some());
    assert_eq!(view.question, "What is the total?");
    assert_eq!(
        view.message.as_deref(),
        Some("refused"),
        "until the next action"
    );
    world.happens(Event::Propose);
    world.answer_all();
    assert_eq!(draw(&world.state).phase, "done");
}

#[test]
fn a_sample_that_is_refused_itself_is_not_fetched_for_ever() {
    let mut world = World::new();
    world.refuse_pictures();
    assert_eq!(draw(&world.state).file, None);
    assert!(draw(&world.state).message.is_some());
    // An address that cannot be fetched while the page opens leaves the sample.
    let mut world = World::new();
    world.happens(Event::Address("https://example.org/none.png".into()));
    for asked in std::mem::take(&mut world.open) {
        world.answer(asked, false);
    }
    world.answer_all();
    assert!(draw(&world.state).bbox.is_some());
}

#[test]
fn ask_while_a_hand_still_has_the_box_sends_the_box_that_is_seen() {
    let mut world = World::opened();
    let bbox = edges(33, 9);
    world.happens(Event::Edit {
        bbox,
        finished: false,
        how: How::Dragged,
        now: 0.0,
    });
    world.happens(Event::Ask(pressed(false)));
    world.answer_all();
    assert_eq!(world.crops[&world.sent[0].about.crop].bbox, bbox);
}

#[test]
fn two_pictures_at_once_the_second_refused_leave_the_first() {
    let mut world = World::opened();
    let first = world.choose();
    world.choose();
    let pictures: Vec<Effect> = world.open.drain(..).collect();
    let [a, ..] = &pictures[..] else { panic!() };
    let b = pictures
        .iter()
        .rfind(|it| matches!(it, Effect::PostPicture { .. }));
    for decode in &pictures {
        if matches!(decode, Effect::Decode { .. }) {
            world.answer(decode.clone(), true);
        }
    }
    world.answer(a.clone(), true);
    world.answer(b.cloned().unwrap(), false);
    assert_eq!(draw(&world.state).file, Some(first));
    assert!(draw(&world.state).size.is_some());
}

#[test]
fn a_link_with_a_picture_of_ones_own_gives_an_empty_stage() {
    let mut world = World::default();
    world.state.question = "What is the total?".into();
    let link = Shared {
        picture: None,
        question: Some("Who?".into()),
        bbox: Some(edges(20, 20)),
    };
    world.happens(Event::Open(link));
    world.happens(Event::Model(ready()));
    world.answer_all();
    let view = draw(&world.state);
    assert_eq!((view.file, view.bbox), (None, None), "never the sample");
    assert_eq!(view.question, "Who?");
    assert!(view.empty.unwrap().contains("not included: drop it here"));
    assert!(!view.opening);
    // The picture comes, and with it the link's box.
    let file = world.choose();
    world.answer_all();
    let view = draw(&world.state);
    assert_eq!((view.file, view.question.as_str()), (Some(file), "Who?"));
    assert_eq!(view.bbox, Some(edges(20, 20)));
    assert_eq!(view.empty, None);
    assert!(view.crop.is_some_and(|crop| crop.other.is_none()));
}

#[test]
fn a_link_of_another_question_is_not_asked_with_its_box() {
    let mut world = World::default();
    world.happens(Event::Open(Shared {
        picture: Some("samples/scan.jpg".into()),
        question: Some("Who?".into()),
        bbox: Some(edges(20, 20)),
    }));
    world.happens(Event::Model(ready()));
    world.answer_all();
    assert_eq!(world.bbox(), edges(20, 20));
    world.type_in("What is the date?");
    assert!(draw(&world.state).crop.unwrap().other.is_some());
}

#[test]
fn a_sample_is_one_step_and_two_drags_are_two() {
    let mut world = World::opened();
    assert_eq!(
        world.state.history.steps.len(),
        1,
        "the page opens with one"
    );
    let opened = world.bbox();
    world.happens(Event::Sample(&SAMPLES[3]));
    world.answer_all();
    assert_eq!(world.state.history.steps.len(), 2);
    world.happens(Event::Undo(-1));
    world.answer_all();
    assert_eq!(world.bbox(), opened);
    assert_eq!(draw(&world.state).question, "What is the total?");
    // Two drags at the same moment, the first not even cut when the second ends.
    world.edit(edges(10, 10), How::Dragged);
    world.edit(edges(30, 10), How::Dragged);
    world.answer_all();
    assert_eq!(world.state.history.steps.len(), 3);
    world.happens(Event::Undo(-1));
    assert_eq!(world.bbox(), edges(10, 10));
    world.happens(Event::Undo(-1));
    assert_eq!(world.bbox(), opened);
    // Keys that follow one another at once are one.
    world.edit(edges(11, 10), How::Stepped);
    world.answer_all();
    world.edit(edges(12, 10), How::Stepped);
    world.answer_all();
    assert_eq!(world.state.history.steps.len(), 2);
}

#[test]
fn undo_right_after_a_drag_takes_that_drag_back() {
    let mut world = World::opened();
    let before = world.bbox();
    world.edit(edges(10, 10), How::Dragged);
    world.happens(Event::Undo(-1));
    assert_eq!(world.bbox(), before);
    world.answer_all();
    assert_eq!(world.bbox(), before, "the late crop changes nothing");
}

#[test]
fn an_undone_picture_goes_to_the_worker_from_the_bytes_that_were_shown() {
    let mut world = World::opened();
    let file = draw(&world.state).file.unwrap();
    world.choose();
    world.answer_all();
    world.happens(Event::Undo(-1));
    assert!(world.state.uses(file));
    let posted = world
        .open
        .iter()
        .any(|it| matches!(it, Effect::PostPicture { file: of, .. } if *of == file));
    assert!(posted);
    assert_eq!(draw(&world.state).file, Some(file));
}

#[test]
fn a_proposal_is_seen_while_a_lesson_is_open() {
    let mut world = World::opened();
    world.happens(Event::LessonShown);
    assert!(draw(&world.state).lesson);
    world.happens(Event::Propose);
    world.answer_all();
    let view = draw(&world.state);
    assert!(!view.lesson && view.bbox.is_some());
}

#[test]
fn a_second_look_with_nothing_smaller_says_so_and_makes_no_step() {
    let mut world = World::opened();
    let steps = world.state.history.steps.len();
    let bbox = world.bbox();
    world.happens(Event::LookInside);
    let Some(Effect::Post(ToWorker::Propose {
        job,
        picture,
        inside,
        ..
    })) = world.open.pop()
    else {
        panic!("the worker is asked");
    };
    assert_eq!(inside, Some(bbox));
    let crop = world.cut(picture, bbox, Some("What is the total?".into()));
    let mut proposed = proposed(job, picture, bbox, inside);
    proposed.same = true;
    world.happens(Event::Proposed {
        proposed: Box::new(proposed),
        crop: Some(crop),
    });
    let view = draw(&world.state);
    assert_eq!((view.bbox, view.phase), (Some(bbox), "done"));
    assert!(
        view.crop_note.contains("nothing smaller"),
        "{}",
        view.crop_note
    );
    assert_eq!(world.state.history.steps.len(), steps);
}

#[test]
fn another_provider_clears_the_old_error() {
    let mut world = World::opened();
    world.happens(Event::Ask(Pressed {
        lacking: Some("no key".into()),
        ..pressed(false)
    }));
    assert_eq!(world.state.ask_message.as_deref(), Some("no key"));
    world.happens(Event::OtherProvider);
    assert_eq!(world.state.ask_message, None);
}

#[test]
fn a_small_crop_is_enlarged_before_it_is_sent_unless_that_is_switched_off() {
    for (enlarge, size) in [(512, (512, 512)), (0, (50, 50))] {
        let mut world = World::opened();
        world.edit(edges(10, 45), How::Drawn); // 20 percent of 1000 pixels
        world.edit(
            NormBox {
                x1: 10.0,
                y1: 10.0,
                x2: 15.0,
                y2: 15.0,
            },
            How::Drawn,
        );
        world.answer_all();
        world.happens(Event::Ask(Pressed {
            enlarge,
            ..pressed(false)
        }));
        let enlarges = world.open.iter().any(|it| {
            matches!(
                it,
                Effect::Post(ToWorker::Enlarge {
                    width: 512,
                    height: 512,
                    ..
                })
            )
        });
        assert_eq!(enlarges, enlarge > 0);
        world.answer_all();
        assert_eq!(world.sent[0].crop_size, size);
    }
}
