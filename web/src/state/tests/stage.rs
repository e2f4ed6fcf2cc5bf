//! Pictures, links, steps, boxes and lessons: what is on the stage after each.

use super::*;

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
fn learn_opens_on_something_to_learn_unless_a_person_has_begun() {
    let mut world = World::opened();
    let phase = world.state.phase;
    world.happens(Event::LessonOpened);
    world.answer_all();
    let view = draw(&world.state);
    assert_eq!(view.question, SAMPLES[0].lesson());
    assert_ne!(view.question, SAMPLES[0].questions[0].0);
    assert_eq!(view.crop.map(|crop| crop.other), Some(None), "its own box");
    assert_eq!(world.state.phase, phase, "nobody clicked");
    let mut world = World::opened();
    let same = world.state.question.clone();
    world.type_in(&same);
    world.happens(Event::LessonOpened);
    assert_eq!(world.state.question, same);
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

#[test]
fn a_question_typed_letter_by_letter_stays_even_if_it_is_the_samples() {
    let mut world = World::opened();
    let same = world.state.question.clone();
    world.type_in(&same);
    world.choose();
    world.answer_all();
    assert_eq!(world.state.question, same);
}

#[test]
fn a_guess_is_shown_when_it_is_asked_for_and_sent_only_when_it_is_seen() {
    let mut world = World::opened();
    let guess = |world: &mut World| {
        world.happens(Event::Propose);
        let Some(Effect::Post(ToWorker::Propose { job, picture, .. })) = world.open.pop() else {
            panic!("the worker is asked");
        };
        let bbox = edges(20, 30);
        let crop = world.cut(picture, bbox, Some("What is the total?".into()));
        let mut proposed = proposed(job, picture, bbox, None);
        proposed.present = Some(0.1);
        world.happens(Event::Proposed {
            proposed: Box::new(proposed),
            crop: Some(crop),
        });
    };
    guess(&mut world);
    let view = draw(&world.state);
    assert_eq!((view.phase, view.absent), ("done", true));
    assert!(view.bbox.is_none() && view.crop.is_none());
    assert!(view.note.contains("do not see it"), "{}", view.note);
    world.happens(Event::Guess);
    let view = draw(&world.state);
    assert!(!view.absent && view.bbox == Some(edges(20, 30)) && view.crop.is_some());
    // Another proposal is another guess.
    guess(&mut world);
    assert!(draw(&world.state).absent);
    let dragged = Event::Edit {
        bbox: edges(40, 9),
        finished: false,
        how: How::Drawn,
        now: 0.0,
    };
    world.happens(dragged);
    assert_eq!(
        draw(&world.state).bbox,
        Some(edges(40, 9)),
        "a hand's box is seen"
    );
    world.happens(Event::EditCancelled);
    assert!(draw(&world.state).absent);
    world.happens(Event::Ask(pressed(false)));
    assert_eq!(
        draw(&world.state).bbox,
        Some(edges(20, 30)),
        "what is sent is seen"
    );
}
