//! "Ask" and "Compare" after something was changed; what becomes of old answers.

use super::*;

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
