//! What needs burn: the lesson's gradients, in a module of its own.
//!
//! Of its own, because a proposal of the map policy needs none of it. The worker (`web/worker/src/second.rs`) loads it beside
//! itself for the first group of a lesson, and calls it as a library: it hears no messages and knows no pictures by number.
//! [`learner`] is a map policy in its lesson.

mod learner;

use cropvlm_web::exchange::hear_panics;

fn main() {
    hear_panics();
}
