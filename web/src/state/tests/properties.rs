//! Whatever happens, in any order: what is shown and what is sent belong to the same picture, question and box.

use proptest::prelude::*;

use super::*;

/// What a person or the world may do next.
#[derive(Clone, Debug)]
enum Act {
    Choose,
    Sample(usize),
    Address,
    Link(bool),
    Type(u8),
    Suggest(u8),
    Turn,
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
    OtherModel,
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
        2 => Just(Act::Turn),
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
        1 => Just(Act::OtherModel),
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
            Act::Turn => Event::Turn,
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
            Act::OtherModel => Event::OtherModel,
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
