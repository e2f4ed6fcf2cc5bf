//! `grpo` with a provider's model as the reward model: its answers are the reward, each is asked for once, and a budget
//! ends the run in a way that loses nothing.

mod provider;
mod run;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use burn::tensor::Device;
use grounding::NormBox;
use policy::{MapConfig, Policy};
use serde_json::Value;

use self::provider::{Asked, KEY, Provider, Reply};
use self::run::{cropvlm, lines, metrics, step, text_of};

/// Pages whose questions all have the answer "Blue", a policy with random weights, a configuration.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().expect("folder"),
        };
        let made = cropvlm()
            .args(["render", "--count", "6", "--seed", "3", "--no-system-fonts"])
            .args(["--kinds", "card", "--out"])
            .arg(place.path("pages"))
            .output()
            .expect("render runs");
        assert!(made.status.success(), "{}", text_of(&made));
        let samples = place.path("pages/samples.jsonl");
        let answered = lines(&samples).into_iter().map(|mut sample| {
            sample["answers"] = serde_json::json!(["Blue"]);
            format!("{sample}\n")
        });
        let answered: String = answered.collect();
        std::fs::write(&samples, answered).expect("samples");
        let policy = Policy::random_map(&MapConfig::tiny(), 6, &Device::flex());
        let files = pollster::block_on(policy.expect("policy").files()).expect("files");
        files.save(&place.path("policy")).expect("saved");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn grpo(&self, provider: &Provider, set: &[&str]) -> Command {
        let text = format!(
            "seed = 4\npolicy = {:?}\nsteps = 3\naccumulation = 2\nnum_generations = 4\n\
             checkpoint_every = 1\nlog_rollouts_every = 1\n\
             [rewards]\nlikelihood = 0.0\nvalidity = 0.0\naccuracy = 1.0\n\
             [reward_model.api]\nurl = {:?}\nmodel = \"test-vlm\"\nkey_env = \"TEST_KEY\"\n\
             [eval]\nsamples = {samples:?}\nlimit = 2\nevery = 3\n[[data]]\nsamples = {samples:?}\n",
            self.path("policy"),
            provider.url,
            samples = self.path("pages/samples.jsonl"),
        );
        let config = self.path("config.toml");
        std::fs::write(&config, text).expect("config");
        let mut command = cropvlm();
        command.arg("grpo").arg("--config").arg(config);
        command.arg("--out").arg(self.path("run"));
        command.env("TEST_KEY", KEY).stderr(Stdio::piped());
        for set in set {
            command.args(["--set", set]);
        }
        command
    }

    fn run(&self, provider: &Provider, set: &[&str]) -> Output {
        self.grpo(provider, set).output().expect("grpo runs")
    }

    fn answers(&self) -> Vec<Value> {
        lines(&self.path("run/answers.jsonl"))
    }
}

/// Reads only crops of an even width.
fn even(asked: &Asked, _: usize) -> Reply {
    let read = match asked.images.as_slice() {
        [_, crop] => crop.width().is_multiple_of(2),
        _ => false,
    };
    Reply::Text(if read { "blue." } else { "red" }.to_owned())
}

fn rewards_follow_the_answers(place: &Place) {
    let samples = lines(&place.path("pages/samples.jsonl"));
    let mut worth = [0, 0];
    for group in lines(&place.path("run/rollouts.jsonl")) {
        let sample = samples.iter().find(|sample| sample["id"] == group["id"]);
        let size = |key: &str| sample.and_then(|s| s[key].as_u64()).expect("a size") as u32;
        for rollout in group["rollouts"].as_array().expect("rollouts") {
            let bbox: NormBox = serde_json::from_value(rollout["box"].clone()).expect("a box");
            let crop = bbox.to_pixels(size("width"), size("height"));
            let read = (crop.x2 - crop.x1).is_multiple_of(2);
            assert_eq!(rollout["reward"], f64::from(u8::from(read)), "{rollout}");
            worth[usize::from(read)] += 1;
        }
    }
    assert!(worth.iter().all(|count| *count > 0), "{worth:?}");
}

#[test]
fn a_providers_answers_are_the_reward_and_each_is_asked_for_once() {
    let place = Place::new();
    let provider = Provider::start(even);
    let done = place.run(&provider, &[]);
    assert!(done.status.success(), "{}", text_of(&done));
    let out = place.path("run");
    rewards_follow_the_answers(&place);
    let asked = provider.asked().len();
    assert!(asked > 10, "{asked}");
    let texts = provider.asked().into_iter().map(|asked| asked.text);
    assert!(texts.into_iter().all(|text| text.contains('?')));
    assert_eq!(place.answers().len(), asked);
    let last = metrics(&out).into_iter().rev();
    let calls = last.filter_map(|line| line["reward_model/calls"].as_u64());
    // The last measurement comes after the last step.
    assert!(
        calls
            .max()
            .is_some_and(|calls| calls > 0 && calls as usize <= asked)
    );
    assert!(text_of(&done).contains(&format!("was asked {asked} questions")));
    let all: std::collections::HashSet<String> = place
        .answers()
        .iter()
        .map(|line| line["key"].to_string())
        .collect();
    assert_eq!(all.len(), asked, "a question was asked twice");

    // Begun anew beside its answers: nothing is asked again, and the same is learned.
    let before = std::fs::read(out.join("checkpoint/weights.safetensors")).expect("weights");
    std::fs::remove_dir_all(out.join("checkpoint")).expect("removed");
    let done = place.run(&provider, &[]);
    assert!(done.status.success(), "{}", text_of(&done));
    assert_eq!(provider.asked().len(), asked);
    let after = std::fs::read(out.join("checkpoint/weights.safetensors")).expect("weights");
    assert!(before == after);
}

#[test]
fn a_budget_ends_the_run_and_a_larger_one_goes_on() {
    let place = Place::new();
    let provider = Provider::start(even);
    // A hundred tokens and five: 105 each.
    let prices = [
        "reward_model.api.price_prompt=1e6",
        "reward_model.api.price_completion=1e6",
        "reward_model.api.parallel=1",
    ];
    let done = place.run(
        &provider,
        &[&prices[..], &["reward_model.api.max_cost=1300.0"]].concat(),
    );
    let text = text_of(&done);
    assert!(!done.status.success());
    assert!(
        text.contains("the budget of 1300 is used up by 13 calls"),
        "{text}"
    );
    assert!(text.contains("reward_model.api.max_cost"), "{text}");
    assert_eq!((provider.asked().len(), place.answers().len()), (13, 13));
    let at = step(&place.path("run")).expect("a checkpoint");
    assert!(at < 3, "{at}");
    assert!(place.path("run/model/model.safetensors").exists());

    let done = place.run(&provider, &["reward_model.api.max_calls=14"]);
    let text = text_of(&done);
    assert!(text.contains("the budget of 14 calls is used up"), "{text}");
    assert_eq!(provider.asked().len(), 14);

    // What it may cost is no other run.
    let done = place.run(&provider, &["reward_model.api.max_calls=1000"]);
    assert!(done.status.success(), "{}", text_of(&done));
    assert_eq!(step(&place.path("run")), Some(3));
    rewards_follow_the_answers(&place);
}

#[test]
fn a_refusal_is_worth_nothing_and_a_server_that_fails_is_named_with_the_sample() {
    let place = Place::new();
    let provider = Provider::start(|asked, number| match number {
        0..4 => Reply::Refusal("Blue".to_owned()),
        4..10 => even(asked, number),
        _ => Reply::Status(500, None),
    });
    let done = place.run(
        &provider,
        &["reward_model.api.tries=1", "reward_model.api.parallel=1"],
    );
    let text = text_of(&done);
    assert!(!done.status.success(), "{text}");
    assert!(
        text.contains("rewards of sample \"") && text.contains("test-vlm at http"),
        "{text}"
    );
    assert!(!text.contains(KEY), "the key is shown");
    let refused: Vec<Value> = place
        .answers()
        .into_iter()
        .filter(|a| a["refused"] == true)
        .collect();
    assert_eq!(refused.len(), 4);
    assert_eq!(place.answers().len(), 10);
}

/// Ctrl-C while a provider is waited for ends with the status of an interrupted run; what came is kept.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_waiting() {
    let place = Place::new();
    let provider = Provider::start(|asked, number| match number {
        0..6 => even(asked, number),
        _ => Reply::Status(429, Some("60")),
    });
    let mut child = place
        .grpo(&provider, &["reward_model.api.parallel=1"])
        .stderr(Stdio::null())
        .spawn()
        .expect("grpo runs");
    run::wait_for(&mut child, "question that is told to wait", || {
        provider.asked().len() > 6
    });
    std::thread::sleep(Duration::from_millis(100));
    run::signal(&child, "INT");
    assert_eq!(child.wait().expect("wait").code(), Some(130));
    assert_eq!(place.answers().len(), 6);
}
