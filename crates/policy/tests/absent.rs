//! Questions whose answer is not on the page teach that no cell is evidence, and nothing about places.

use burn::tensor::Device;
use policy::map::loss::{Loss, Targets};
use policy::{MapConfig, Policy};
use pollster::block_on;

/// A page with one answer, asked for it and, where `absent`, for what it lacks.
fn targets(absent: bool) -> Targets {
    let (width, height) = (96, 96);
    let dark = |i: usize| (i / 96 / 7 + i % 96 / 5).is_multiple_of(3);
    let canvas = (0..96 * 96)
        .map(|i| if dark(i) { 30 } else { 220 })
        .collect();
    let mut targets = Targets {
        canvases: vec![canvas],
        width,
        height,
        owners: vec![0],
        questions: vec!["What is the \"Total\"?".into()],
        boxes: vec![vec![[20.0, 30.0, 60.0, 45.0]]],
        ..Targets::default()
    };
    if absent {
        targets.owners.push(0);
        targets.questions.push("What is the \"Password\"?".into());
        targets.boxes.push(Vec::new());
    }
    targets
}

fn part(loss: &Loss, name: &str) -> f32 {
    let (_, value) = loss
        .parts
        .iter()
        .find(|(part, _)| *part == name)
        .expect("a part");
    value.clone().into_scalar::<f32>()
}

#[test]
fn a_question_without_an_answer_teaches_cells_alone() {
    let policy = Policy::random_map(&MapConfig::tiny(), 3, &Device::flex()).expect("policy");
    let of = |absent| block_on(policy.sft_loss(&targets(absent), 0.0)).expect("a loss");
    let (alone, both) = (of(false), of(true));
    for name in ["place", "edges"] {
        let (before, after) = (part(&alone, name), part(&both, name));
        assert!(
            (before - after).abs() < 1e-4 * before.abs(),
            "{name}: {before}, {after}"
        );
    }
    // Half of the cells' mean is now that of a page without evidence.
    assert!(part(&both, "cells") < part(&alone, "cells"));
    assert!(both.total.into_scalar::<f32>().is_finite());
}
