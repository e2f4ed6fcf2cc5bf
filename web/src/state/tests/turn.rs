//! The picture turned, and crops of pictures that lie on their side.

use super::*;

/// The worker's answer to "Rotate", played by hand.
fn turn(world: &mut World) -> Key {
    let picture = world.state.stage.as_ref().unwrap().picture.number;
    world.happens(Event::Turn);
    assert!(
        world
            .open
            .iter()
            .any(|it| matches!(it, Effect::Post(ToWorker::Turn { picture: of }) if *of == picture))
    );
    let file = world.key();
    world.happens(Event::Turned {
        picture,
        file: Ok(file),
    });
    file
}

#[test]
fn box_and_question_follow_a_turned_picture_and_undo_is_one_step() {
    let mut world = World::opened();
    world.type_in("What is the date?");
    world.happens(Event::Propose);
    world.answer_all();
    let (bbox, steps) = (world.bbox(), world.state.history.at);
    let file = turn(&mut world);
    world.answer_all();
    let view = draw(&world.state);
    assert_eq!(view.file, Some(file));
    assert_eq!(view.question, "What is the date?");
    let turned = NormBox {
        x1: 100.0 - bbox.y2,
        y1: bbox.x1,
        x2: 100.0 - bbox.y1,
        y2: bbox.x2,
    };
    assert_eq!(view.bbox, Some(turned));
    let crop = view.crop.unwrap();
    assert_eq!(crop.bbox, turned);
    assert_eq!(crop.other, None);
    // It is asked about without another proposal, with the crop of the turned picture.
    world.happens(Event::Ask(pressed(false)));
    world.answer_all();
    assert_eq!(world.crops[&world.sent[0].about.crop].file, file);
    assert_eq!(world.state.history.at, steps + 1);
    world.happens(Event::Undo(-1));
    world.answer_all();
    assert_eq!(world.bbox(), bbox);
}

#[test]
fn a_worker_that_broke_while_it_turned_a_picture_is_asked_again() {
    let mut world = World::opened();
    world.happens(Event::Turn);
    world.happens(Event::Broken {
        why: "memory".into(),
        started: true,
    });
    world.open.clear();
    world.happens(Event::Turn);
    let asked = |it: &Effect| matches!(it, Effect::Post(ToWorker::Turn { .. }));
    assert!(world.open.iter().any(asked), "{:?}", world.open);
}

#[test]
fn a_turned_picture_that_comes_after_another_was_chosen_changes_nothing() {
    let mut world = World::opened();
    let picture = world.state.stage.as_ref().unwrap().picture.number;
    world.happens(Event::Turn);
    let file = world.choose();
    world.answer_all();
    let key = world.key();
    world.happens(Event::Turned {
        picture,
        file: Ok(key),
    });
    world.answer_all();
    assert_eq!(draw(&world.state).file, Some(file));
}

#[test]
fn the_crop_of_a_picture_on_its_side_is_cut_and_sent_upright() {
    let mut world = World::opened();
    world.happens(Event::Propose);
    let job = world.state.click.as_ref().unwrap().job;
    let picture = world.state.stage.as_ref().unwrap().picture.number;
    let bbox = NormBox {
        x1: 10.0,
        y1: 10.0,
        x2: 15.0,
        y2: 30.0,
    };
    let crop = world.cut(picture, bbox, Some(world.state.asked().to_owned()));
    let mut lying = proposed(job, picture, bbox, None);
    lying.quarters = 1;
    world.happens(Event::Proposed {
        proposed: Box::new(lying),
        crop: Some(crop),
    });
    world.happens(Event::Ask(pressed(false)));
    let enlarged = world.open.iter().find_map(|it| match it {
        Effect::Post(ToWorker::Enlarge {
            quarters,
            width,
            height,
            ..
        }) => Some((*quarters, *width, *height)),
        _ => None,
    });
    // 50 x 200 pixels of the picture are 200 x 50 of what is read.
    assert_eq!(enlarged, Some((1, 512, 128)));
    world.answer_all();
    assert_eq!(world.sent[0].crop_size, (512, 128));
    // Moved by hand, it stays upright.
    world.edit(
        NormBox {
            x1: 11.0,
            x2: 16.0,
            ..bbox
        },
        How::Dragged,
    );
    let cut = world
        .open
        .iter()
        .any(|it| matches!(it, Effect::Post(ToWorker::Cut { quarters: 1, .. })));
    assert!(cut, "{:?}", world.open);
}
