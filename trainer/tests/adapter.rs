//! Adapters as a person uses them: `--adapter` of the commands that take a model, `export` that
//! merges one, and `debug grpo-step`, whose numbers PyTorch computed (`crates/policy/goldens`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::SafeTensors;
use serde_json::Value;
use smolvlm::tiny;

fn goldens(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/policy/goldens");
    folder.join(name).display().to_string()
}

fn cropvlm(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cropvlm"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("cropvlm runs")
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = cropvlm(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("one JSON line")
}

fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let output = cropvlm(folder, arguments);
    assert!(!output.status.success(), "{arguments:?} worked");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// A folder with the tiny model as `text`.
fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("folder");
    let mut files = tiny::files();
    let weights = include_bytes!("../../crates/smolvlm/goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    files.save(&place.path().join("text")).expect("model");
    let path = place.path().to_path_buf();
    (place, path)
}

fn floats(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(floats).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

#[test]
fn a_grpo_step_prints_what_pytorch_computed() {
    let (_keep, folder) = place();
    let bytes = std::fs::read(goldens("grpo.safetensors")).expect("goldens");
    let numbers = SafeTensors::deserialize(&bytes).expect("goldens");
    let golden = |name: &str| -> Vec<f64> {
        let chunks = numbers
            .tensor(name)
            .expect(name)
            .data()
            .as_chunks()
            .0
            .to_vec();
        chunks
            .iter()
            .map(|&b| f64::from(f32::from_le_bytes(b)))
            .collect()
    };
    let (adapter, rollouts) = (goldens("adapter"), goldens("rollouts.json"));
    let model = [
        "--model",
        "text",
        "--adapter",
        &adapter,
        "--rollouts",
        &rollouts,
    ];
    let step = |config: &str| {
        std::fs::write(folder.join("step.toml"), config).expect("config");
        let mut arguments = vec!["debug", "grpo-step", "--config", "step.toml", "--json"];
        arguments.extend(model);
        json(&folder, &arguments)
    };
    for (loss_type, beta) in [
        ("dr_grpo", 0.01),
        ("grpo", 0.0),
        ("bnpo", 0.01),
        ("dapo", 0.01),
    ] {
        let line = step(&format!(
            "beta = {beta}\nnum_generations = 3\nmax_completion_length = 32\nloss_type = \"{loss_type}\"\n"
        ));
        let what = format!("{loss_type}.{beta}");
        let loss = line["loss"].as_f64().expect("loss");
        assert!(
            (loss - golden(&format!("loss.{what}"))[0]).abs() < 1e-4,
            "{what}: {loss}"
        );
        let squares: f64 = golden(&format!("gradient.{what}"))
            .iter()
            .map(|g| g * g)
            .sum();
        let norm = line["grad_norm"].as_f64().expect("norm");
        assert!(
            (norm / squares.sqrt() - 1.0).abs() < 1e-3,
            "{what}: {norm}, {}",
            squares.sqrt()
        );
        let advantages = floats(&line["advantages"]);
        let expected = golden(&format!("advantages.{loss_type}"));
        assert!(
            advantages
                .iter()
                .zip(&expected)
                .all(|(a, e)| (a - e).abs() < 1e-4)
        );
    }
    let line = step("");
    let lengths: Vec<usize> = line["logprobs"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group.as_array().expect("rollouts"))
        .map(|row| row.as_array().expect("tokens").len())
        .collect();
    let chunks = numbers
        .tensor("lengths")
        .expect("lengths")
        .data()
        .as_chunks()
        .0
        .to_vec();
    let expected: Vec<usize> = chunks
        .iter()
        .map(|&b| i64::from_le_bytes(b) as usize)
        .collect();
    assert_eq!(lengths, expected);
    assert_eq!(line["tokens"], expected.iter().sum::<usize>());
    for name in ["logprobs", "kl"] {
        let all = golden(name);
        let width = all.len() / lengths.len();
        let rows = lengths.iter().enumerate();
        let expected = rows.flat_map(|(i, &n)| all[i * width..][..n].to_vec());
        let found = floats(&line[name]);
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(a, e)| (a - e).abs() < 1e-4),
            "{name}"
        );
    }
}

#[test]
fn rollouts_that_cannot_be_measured_are_named() {
    let (_keep, folder) = place();
    let adapter = goldens("adapter");
    let check = |rollouts: &str, config: &str| {
        std::fs::write(folder.join("r.json"), rollouts).expect("rollouts");
        std::fs::write(folder.join("c.toml"), config).expect("config");
        refusal(
            &folder,
            &[
                "debug",
                "grpo-step",
                "--model",
                "text",
                "--adapter",
                &adapter,
                "--rollouts",
                "r.json",
                "--config",
                "c.toml",
            ],
        )
    };
    let one = |image: &str, rewards: &str| {
        format!(
            "[{{\"image\": {image:?}, \"question\": \"Where?\", \"completions\": [\"a\", \"b\"], \"rewards\": {rewards}}}]"
        )
    };
    let picture = goldens("one.png");
    for (rollouts, config, expected) in [
        ("{}".to_string(), "", "not a list of groups"),
        ("[]".to_string(), "", "holds no group"),
        (
            one(&picture, "[1]"),
            "",
            "group 1: 2 completions and 1 rewards",
        ),
        (
            one(&picture, "[1, 2]"),
            "num_generations = 6",
            "num_generations is 6",
        ),
        (one(&picture, "[1, 2]"), "betta = 6", "betta"),
        (one(&picture, "[1, 2]"), "loss_type = \"ppo\"", "ppo"),
        (one("absent.png", "[1, 2]"), "", "absent.png"),
    ] {
        let said = check(&rollouts, config);
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn every_command_takes_an_adapter_and_export_merges_it() {
    let (_keep, folder) = place();
    let adapter = goldens("adapter");
    let picture = goldens("one.png");
    let ask = [
        "--image",
        &picture,
        "--question",
        "What is the total?",
        "--json",
    ];
    let with = |command: &str, model: &str, adapter: Option<&str>, more: &[&str]| {
        let mut arguments = vec![command, "--model", model];
        arguments.extend(adapter.iter().flat_map(|adapter| ["--adapter", adapter]));
        arguments.extend(ask.iter().chain(more));
        json(&folder, &arguments)
    };
    let score = ["--box", "0,0,50,50", "--answer", "12"];
    let number = |line: &Value| line["logprob"].as_f64().expect("number");
    for precision in ["f32", "bf16"] {
        let arguments = [
            "export",
            "--model",
            "text",
            "--adapter",
            &adapter,
            "--out",
            "merged",
            "--precision",
            precision,
        ];
        let output = cropvlm(&folder, &arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let bound = if precision == "f32" { 1e-3 } else { 1.0 };
        for (command, more) in [("propose", &[][..]), ("score", &score[..])] {
            let plain = number(&with(command, "text", None, more));
            let on = number(&with(command, "text", Some(&adapter), more));
            let merged = number(&with(command, "merged", None, more));
            assert!((on - plain).abs() > 1e-2, "{command}: {on} {plain}");
            assert!((on - merged).abs() < bound, "{command}: {on} {merged}");
        }
    }
    let answer = |adapter| with("answer", "text", adapter, &[]);
    assert_ne!(answer(None), answer(Some(adapter.as_str())));

    let said = refusal(
        &folder,
        &[
            "propose",
            "--model",
            "text",
            "--adapter",
            "text",
            "--image",
            &picture,
            "--question",
            "a",
        ],
    );
    assert!(
        said.contains("adapter folder text") && said.contains("adapter_config.json"),
        "{said}"
    );
    let said = refusal(
        &folder,
        &[
            "export",
            "--model",
            "text",
            "--out",
            "x",
            "--coverage",
            "0.9",
        ],
    );
    assert!(said.contains("map policies"), "{said}");
}

/// Two groups of the goldens, with a configuration; or one of them.
#[test]
fn temperature_and_accumulation_are_read() {
    let (_keep, folder) = place();
    let (adapter, rollouts) = (goldens("adapter"), goldens("rollouts.json"));
    let text = std::fs::read_to_string(&rollouts).expect("rollouts");
    let groups: Vec<serde_json::Value> = serde_json::from_str(&text).expect("rollouts");
    let step = |groups: &[serde_json::Value], config: &str| {
        let mut groups = groups.to_vec();
        for group in &mut groups {
            let name = group["image"].as_str().expect("a picture").to_string();
            group["image"] = goldens(&name).into();
        }
        let text = serde_json::to_string(&groups).expect("rollouts");
        std::fs::write(folder.join("some.json"), text).expect("rollouts");
        std::fs::write(folder.join("step.toml"), config).expect("config");
        let arguments = [
            "debug",
            "grpo-step",
            "--model",
            "text",
            "--adapter",
            &adapter,
            "--rollouts",
            "some.json",
            "--config",
            "step.toml",
            "--json",
        ];
        json(&folder, &arguments)
    };
    let at = |config: &str| floats(&step(&groups, config)["logprobs"]);
    let plain = at("");
    assert_eq!(plain, at("temperature = 0.8\nlogprob_temperature = 1.0"));
    let cooler = at("temperature = 0.8");
    assert_eq!(cooler, at("logprob_temperature = 0.8"));
    let gap = plain.iter().zip(&cooler).map(|(a, b)| (a - b).abs());
    assert!(gap.fold(0.0, f64::max) > 0.1, "{plain:?} {cooler:?}");
    // As one local batch bnpo divides by the tokens of both groups; accumulated, as `cropvlm grpo` does, by each one's own.
    let bnpo = "loss_type = \"bnpo\"\nbeta = 0.3\n";
    let loss = |groups: &[serde_json::Value], config: &str| {
        step(groups, config)["loss"].as_f64().expect("loss")
    };
    let accumulated = loss(&groups, &format!("{bnpo}accumulation = 2"));
    let each = [loss(&groups[..1], bnpo), loss(&groups[1..], bnpo)];
    assert!(
        (accumulated - (each[0] + each[1]) / 2.0).abs() < 1e-5,
        "{accumulated} {each:?}"
    );
    let together = loss(&groups, bnpo);
    assert!(
        (accumulated - together).abs() > 1e-4,
        "{accumulated} {together}"
    );
}
