//! GRPO, live: what page and worker tell each other about it, and what its drawings are computed from.
//!
//! The worker draws a group, rewards it and takes steps (`worker/src/lesson.rs` and `trainable/src/learner.rs`, on `policy::map::live`); the page shows
//! all numbers of it (`src/page/learn.rs`). Rewards and log-probabilities are in nats.

use grounding::NormBox;
use serde::{Deserialize, Serialize};

/// What a visitor may set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Rollouts of a group.
    pub group: u32,
    /// What logits are divided by when boxes are drawn.
    pub temperature: f64,
    /// Weight of the divergence from the policy at the start.
    pub beta: f64,
    /// Adam's.
    pub learning_rate: f64,
    /// Who rewards.
    pub judge: Judge,
}

/// Whose reading of a crop is its reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judge {
    /// The policy's own letters, frozen, which see the crop alone.
    #[default]
    Letters,
    /// SmolVLM, where it is loaded to answer: the likelihood of the answer given question, full image and crop, as in the paper.
    SmolVlm,
}

/// Where the slider of `beta` can stand.
pub const BETAS: [f64; 7] = [0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];

/// Where the slider of the learning rate can stand.
pub const RATES: [f64; 7] = [0.00003, 0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002];

impl Default for Settings {
    /// Group, temperature and beta of the paper; a rate at which ten steps on one picture can be seen (LOG.md).
    fn default() -> Self {
        Self {
            group: 6,
            temperature: 0.8,
            beta: 0.01,
            learning_rate: 0.0005,
            judge: Judge::Letters,
        }
    }
}

/// What the visitor wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Another group from the policy as it is.
    Draw,
    /// A step on the present group, then another group.
    Step,
    /// The weights that were shipped, then the first group again.
    Forget,
}

/// One rollout with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    /// Percent.
    pub bbox: NormBox,
    /// Under the policy that drew it, at temperature 1.
    pub logprob: f64,
    /// Nats a character, at most 0.
    pub reward: f64,
    /// Reward less the group's mean.
    pub advantage: f64,
}

/// What a step did to the group that it was taken on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Of each rollout.
    pub advantages: Vec<f64>,
    /// Log-probabilities before.
    pub before: Vec<f64>,
    /// And after.
    pub after: Vec<f64>,
    /// Mean k3 divergence from the start, before the step.
    pub kl: f64,
}

impl Step {
    /// How many rollouts with an advantage moved the way it points, and how many have one.
    pub fn followed(&self) -> (usize, usize) {
        let moves = self.before.iter().zip(&self.after).map(|(b, a)| a - b);
        let pairs = self.advantages.iter().zip(moves);
        let counted: Vec<bool> = pairs
            .filter(|(advantage, _)| advantage.abs() > 1e-9)
            .map(|(advantage, moved)| advantage * moved > 0.0)
            .collect();
        (
            counted.iter().filter(|right| **right).count(),
            counted.len(),
        )
    }
}

/// A group, and the step that came before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// The group as it was drawn.
    pub group: Vec<Drawn>,
    /// Mean reward.
    pub mean: f64,
    /// Steps taken since the weights of the start.
    pub steps: u32,
    /// The step that was taken just before this group was drawn.
    pub step: Option<Step>,
    /// A step was wanted, and the group before had nothing to learn from: none was taken.
    pub skipped: bool,
    /// The likeliest box of the policy as it is now.
    pub best: NormBox,
}

impl Lesson {
    /// Lowest reward that the bars reach, whole nats; the highest is 0.
    pub fn floor(&self) -> f64 {
        let least = self.group.iter().map(|drawn| drawn.reward);
        least.fold(-1.0, f64::min).floor()
    }

    /// Mean share of the picture that the boxes cover, 0 to 1.
    pub fn size(&self) -> f64 {
        let sizes = self.group.iter().map(|drawn| f64::from(drawn.bbox.area()));
        sizes.sum::<f64>() / self.group.len().max(1) as f64
    }

    /// How strong a rollout's colour is, 0 to 1: its advantage relative to the largest one of the group.
    pub fn strength(&self, drawn: &Drawn) -> f64 {
        let most = self.group.iter().map(|other| other.advantage.abs());
        let most = most.fold(0.0, f64::max);
        if most < 1e-9 {
            0.0
        } else {
            drawn.advantage.abs() / most
        }
    }
}

/// The part of a picture that shows all of these boxes with room around them, percent; at most 2.6 times as wide as high
/// on the screen, and no flatter than it is wide. `size`: the picture's pixels.
///
/// ```
/// use cropvlm_web::lesson::window;
/// use grounding::NormBox;
/// let small = NormBox { x1: 50.0, y1: 50.0, x2: 60.0, y2: 51.0 };
/// let seen = window(&[small], (1000, 1000)).unwrap();
/// assert!(seen.x1 < 50.0 && seen.x2 > 60.0 && seen.y1 < 50.0 && seen.y2 > 51.0);
/// assert!((seen.width() / seen.height() - 2.6).abs() < 1e-3);
/// ```
pub fn window(boxes: &[NormBox], size: (u32, u32)) -> Option<NormBox> {
    /// Room on each side, as a share of the longer side, and the widest and narrowest shapes.
    const ROOM: f32 = 0.18;
    const SHAPES: (f32, f32) = (1.2, 2.6);
    let all = boxes.iter().copied().reduce(|a, b| NormBox {
        x1: a.x1.min(b.x1),
        y1: a.y1.min(b.y1),
        x2: a.x2.max(b.x2),
        y2: a.y2.max(b.y2),
    })?;
    // Pixels for shapes, percent for the result.
    let (width, height) = (size.0.max(1) as f32 / 100.0, size.1.max(1) as f32 / 100.0);
    let (mut across, mut down) = (all.width() * width, all.height() * height);
    let room = 2.0 * ROOM * across.max(down);
    (across, down) = (across + room, down + room);
    across = across.max(down * SHAPES.0);
    down = down.max(across / SHAPES.1);
    let side = |low: f32, high: f32, length: f32| {
        let length = length.min(100.0);
        let start = ((low + high - length) / 2.0).clamp(0.0, 100.0 - length);
        (start, start + length)
    };
    let (x1, x2) = side(all.x1, all.x2, across / width);
    let (y1, y2) = side(all.y1, all.y2, down / height);
    Some(NormBox { x1, y1, x2, y2 })
}

/// A box in percent of a window.
pub fn within(bbox: NormBox, window: NormBox) -> NormBox {
    let at = |edge: f32, low: f32, length: f32| (edge - low) / length * 100.0;
    NormBox {
        x1: at(bbox.x1, window.x1, window.width()),
        y1: at(bbox.y1, window.y1, window.height()),
        x2: at(bbox.x2, window.x1, window.width()),
        y2: at(bbox.y2, window.y1, window.height()),
    }
}

/// One group in the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Mean reward.
    pub mean: f64,
    /// The worst.
    pub least: f64,
    /// The best.
    pub most: f64,
    /// Mean share of the picture, 0 to 1.
    pub size: f64,
}

impl From<&Lesson> for Point {
    fn from(lesson: &Lesson) -> Self {
        let rewards = || lesson.group.iter().map(|drawn| drawn.reward);
        Self {
            mean: lesson.mean,
            least: rewards().fold(0.0, f64::min),
            most: rewards().fold(f64::NEG_INFINITY, f64::max),
            size: lesson.size(),
        }
    }
}

/// Boxes have grown this much, times their area, to be told.
const GROWN: f64 = 1.4;
/// A reward that has risen by less, nats a character, has not.
const RISEN: f64 = 0.05;

/// Whether boxes grow without more reward (reward hacking): what a reader that does not mind a larger crop allows. From
/// the mean over the first third of the groups to that over the last; `None` where they do not, else how many times as
/// large they are.
///
/// ```
/// use cropvlm_web::lesson::{Point, grown_for_nothing};
/// let group = |mean, size| Point { mean, least: mean, most: mean, size };
/// let groups = [group(-1.0, 0.1), group(-1.0, 0.1), group(-0.99, 0.3)];
/// assert!((grown_for_nothing(&groups).unwrap() - 3.0).abs() < 1e-9);
/// ```
pub fn grown_for_nothing(points: &[Point]) -> Option<f64> {
    let third = points.len() / 3;
    if third == 0 {
        return None;
    }
    let mean = |points: &[Point], of: fn(&Point) -> f64| {
        points.iter().map(of).sum::<f64>() / points.len() as f64
    };
    let (first, last) = (&points[..third], &points[points.len() - third..]);
    let times = mean(last, |point| point.size) / mean(first, |point| point.size).max(1e-9);
    let more = mean(last, |point| point.mean) - mean(first, |point| point.mean);
    (times >= GROWN && more < RISEN).then_some(times)
}

/// The curve as the points of SVG's `polyline` and `polygon`: the means, and the band between worst and best.
/// Steps go from 0 to `width`, rewards from `floor` at `height` up to 0 at 0.
pub fn curve(points: &[Point], floor: f64, (width, height): (f64, f64)) -> (String, String) {
    let last = (points.len().max(2) - 1) as f64;
    let at = |i: usize, value: f64| {
        let (x, y) = (
            i as f64 / last * width,
            (value / floor).clamp(0.0, 1.0) * height,
        );
        format!("{x:.1},{y:.1}")
    };
    let line = |of: fn(&Point) -> f64| {
        let each = points.iter().enumerate();
        each.map(|(i, point)| at(i, of(point))).collect::<Vec<_>>()
    };
    let mut band = line(|point| point.most);
    band.extend(line(|point| point.least).into_iter().rev());
    (line(|point| point.mean).join(" "), band.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x1: f32, y1: f32, x2: f32, y2: f32) -> NormBox {
        NormBox { x1, y1, x2, y2 }
    }

    fn lesson(rewards: &[f64]) -> Lesson {
        let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
        let drawn = |reward: &f64| Drawn {
            bbox: NormBox::FULL,
            logprob: -9.0,
            reward: *reward,
            advantage: reward - mean,
        };
        Lesson {
            group: rewards.iter().map(drawn).collect(),
            mean,
            steps: 0,
            step: None,
            skipped: false,
            best: NormBox::FULL,
        }
    }

    #[test]
    fn boxes_that_grow_are_told_only_where_the_reward_does_not_rise() {
        let group = |mean: f64, size: f64| Point {
            mean,
            least: mean,
            most: mean,
            size,
        };
        let told = |groups: [(f64, f64); 6]| {
            grown_for_nothing(&groups.map(|(mean, size)| group(mean, size)))
        };
        let grown = [0.02, 0.02, 0.03, 0.05, 0.06, 0.06];
        let with = |rewards: [f64; 6]| {
            let mut groups = [(0.0, 0.0); 6];
            for at in 0..6 {
                groups[at] = (rewards[at], grown[at]);
            }
            told(groups)
        };
        let times = with([-0.5, -0.5, -0.5, -0.5, -0.5, -0.49]).unwrap();
        assert!((times - 3.0).abs() < 1e-9, "{times}");
        assert_eq!(with([-2.0, -1.5, -1.0, -0.5, -0.4, -0.3]), None, "it paid");
        assert_eq!(told([(-0.5, 0.05); 6]), None, "no larger");
        assert_eq!(
            grown_for_nothing(&[group(-1.0, 0.1), group(-1.0, 0.9)]),
            None
        );
    }

    #[test]
    fn colours_are_as_strong_as_advantages() {
        let group = lesson(&[-1.0, -2.0, -3.0]);
        let strengths: Vec<f64> = group.group.iter().map(|d| group.strength(d)).collect();
        assert_eq!(strengths, [1.0, 0.0, 1.0]);
        assert_eq!(group.floor(), -3.0);
        let equal = lesson(&[-0.2, -0.2]);
        assert_eq!(equal.strength(&equal.group[0]), 0.0);
        assert_eq!(equal.floor(), -1.0);
    }

    #[test]
    fn the_window_shows_every_box_and_stays_in_the_picture() {
        let boxes = [at(2.0, 90.0, 12.0, 93.0), at(5.0, 91.0, 30.0, 99.0)];
        let seen = window(&boxes, (1197, 1767)).unwrap();
        assert!(seen.x1 >= 0.0 && seen.y2 <= 100.0 && seen.x2 > 30.0 && seen.y1 < 90.0);
        let inner = within(boxes[1], seen);
        assert!(inner.x1 > 0.0 && inner.x2 < 100.0 && inner.y2 <= 100.0);
        assert_eq!(window(&[NormBox::FULL], (10, 10)), Some(NormBox::FULL));
        assert_eq!(window(&[], (10, 10)), None);
    }

    #[test]
    fn the_curve_runs_from_left_to_right() {
        let points: Vec<Point> = [-2.0, -1.0].map(|r| Point::from(&lesson(&[r, r]))).into();
        let (line, band) = curve(&points, -4.0, (100.0, 40.0));
        assert_eq!(line, "0.0,20.0 100.0,10.0");
        assert_eq!(band, "0.0,20.0 100.0,10.0 100.0,10.0 0.0,20.0");
    }

    #[test]
    fn a_step_tells_who_followed() {
        let step = Step {
            advantages: vec![1.0, -1.0, 0.5, 0.0],
            before: vec![-9.0, -9.0, -9.0, -9.0],
            after: vec![-8.0, -10.0, -9.5, -8.0],
            kl: 0.0,
        };
        assert_eq!(step.followed(), (2, 3));
    }
}
