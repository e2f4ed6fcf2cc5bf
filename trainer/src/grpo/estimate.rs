//! What a run will need: one group is drawn, rewarded and gone back through, its gradient thrown away;
//! time and memory of that are measured, the rest is arithmetic.

use std::time::Instant;

use anyhow::Result;
use policy::Policy;

use super::step::{Draw, Trainer};
use crate::train::{Accumulator, peak_memory, progress::duration};

/// Numbers of a run.
pub struct Plan {
    /// Steps still to go.
    pub steps: u64,
    /// Groups a step.
    pub groups: usize,
    /// Weights that are trained.
    pub trained: usize,
    /// Held-out prompts, and how often they are measured.
    pub held_out: (usize, u64),
}

/// Measures one group and prints what the run will need.
///
/// # Errors
/// Whatever the first step would fail of.
pub fn estimate(trainer: &Trainer, policy: &Policy, draw: Draw, plan: &Plan) -> Result<()> {
    let frozen = policy.without_gradients();
    let before = peak_memory();
    let start = Instant::now();
    let mut sum = Accumulator::default();
    let question = draw.prompt.sample.question.clone();
    let (group, numbers) = trainer.first(policy, &frozen, draw, &mut sum)?;
    let seconds = start.elapsed().as_secs_f64();
    let rewards: Vec<String> = group
        .rewards
        .iter()
        .map(|r| format!("{:.2}", r.total))
        .collect();
    // Every weight that is trained: itself, its gradient (also while it is added up), two moments.
    let optimizer = plan.trained as f64 * 4.0 * 5.0;
    let per_step =
        seconds * plan.groups as f64 * (1.0 + 0.6 * (trainer.config.num_iterations as f64 - 1.0));
    let (prompts, times) = plan.held_out;
    // A proposal and its reward: about a G-th of a group's rollouts and no way back.
    let measuring = seconds * 0.4 * prompts as f64 * times as f64;
    println!("one group, measured   {seconds:.2} s: \"{question}\"");
    println!(
        "  rewards             {} ({:.1} tokens a completion)",
        rewards.join(", "),
        numbers.tokens / group.drawn.rollouts.len() as f64
    );
    println!(
        "a step                {} groups: about {}",
        plan.groups,
        if per_step < 10.0 {
            format!("{per_step:.1} s")
        } else {
            duration(per_step)
        }
    );
    println!(
        "the run               {} steps: about {}, measuring on held-out prompts included",
        plan.steps,
        duration(per_step * plan.steps as f64 + measuring)
    );
    println!(
        "trained weights       {:.2} M; with gradient and moments {:.2} GB",
        plan.trained as f64 / 1e6,
        optimizer / 1e9
    );
    println!(
        "a checkpoint          {:.2} GB on disk",
        plan.trained as f64 * 12.0 / 1e9
    );
    match (before, peak_memory()) {
        (Some(before), Some(after)) => println!(
            "memory                peak {:.2} GB of the program so far ({:.2} GB before that group), \
             moments not yet; on a graphics card its own memory comes on top",
            after / 1e9,
            before / 1e9
        ),
        _ => println!("memory                not known on this system"),
    }
    Ok(())
}
