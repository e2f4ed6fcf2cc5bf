//! The report of small made-up runs.

use std::path::Path;

use super::chart::{smoothed, ticks};
use super::html::{escape, number, signed, thousands};
use super::page::page;
use super::read::{Run, spread};
use super::sheet::Sheet;

fn report(folder: &Path) -> String {
    let run = Run::open(folder, 3).expect("a run");
    let sheet = Sheet {
        run: &run,
        root: None,
        edge: 32,
    };
    page(&run, &sheet)
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("written");
}

/// A GRPO run of five groups about one picture of 40 x 20 pixels.
fn grpo(folder: &Path) {
    let picture = picture::RgbImage::from_pixel(40, 20, image::Rgb([200, 190, 180]));
    let png = picture::encode_png(&picture).expect("png");
    std::fs::write(folder.join("page.png"), png).expect("written");
    let metrics: String = (1..=5)
        .map(|step| {
            format!(
                "{{\"step\":{step},\"reward\":{},\"kl\":null,\"loss\":0}}\n",
                f64::from(step) / 10.0
            )
        })
        .collect();
    // The last line is being written.
    write(folder, "metrics.jsonl", &(metrics + "{\"step\":6,\"rew"));
    let groups: String = (1..=5)
        .map(|step| {
            let line = serde_json::json!({
                "step": step, "id": format!("q{step}"), "image": "page.png",
                "question": "Is 1 < 2 & \"so\"?", "answer": "<b>yes</b>",
                "true_boxes": [[10, 10, 30, 20]],
                "rollouts": [
                    {"box": [5, 5, 50, 50], "completion": "[5, 5, 50, 50].", "reward": 1.5, "advantage": 0.75,
                     "rewards": {"accuracy": 1, "validity": 0.5}, "logprob": -3.5},
                    {"box": null, "completion": "<script>alert(1)</script>", "reward": 0, "advantage": -0.75,
                     "rewards": {"accuracy": 0, "validity": null}, "logprob": -9.25},
                ],
            });
            format!("{line}\n")
        })
        .collect();
    write(folder, "rollouts.jsonl", &groups);
    write(
        folder,
        "config.toml",
        "# commit abc123\nseed = 4\n[train]\nsteps = 7\n",
    );
}

#[test]
fn a_grpo_run_shows_curves_and_rollouts() {
    let folder = tempfile::tempdir().expect("folder");
    grpo(folder.path());
    let html = report(folder.path());
    // The reward's curve with its sentence; kl has no number, and no curve.
    assert!(html.contains("<h3>Reward</h3>") && html.contains("averaged over all tries"));
    assert!(!html.contains("Distance from the start"));
    assert!(
        html.contains("rose: 0.1 in the first tenth of the run, 0.5 in the last"),
        "{html}"
    );
    // Three of five groups, each with the picture, the box, and both rollouts.
    assert_eq!(html.matches("<article").count(), 3);
    assert_eq!(html.matches("src=\"data:image/jpeg;base64,").count(), 3);
    for step in [1, 3, 5] {
        assert!(
            html.contains(&format!("data-step=\"{step}\"")),
            "step {step}"
        );
    }
    assert_eq!(html.matches("class=\"box c0\"").count(), 3);
    assert!(html.contains("left:5%;top:5%;width:45%;height:45%;--c:#0072b2"));
    assert_eq!(html.matches("class=\"truth\" style").count(), 3);
    assert!(html.contains("<td>+0.75</td><td>1.5</td><td>1</td><td>0.5</td><td>\u{2212}3.5</td>"));
    // What a run holds is text, never markup.
    assert!(html.contains("Is 1 &lt; 2 &amp; &quot;so&quot;?") && html.contains("&lt;b&gt;yes"));
    assert!(html.contains("<q>&lt;script&gt;") && !html.contains("<script>alert"));
    // Configuration and what stands above it.
    assert!(html.contains("abc123") && html.contains("5 of 7"));
}

#[test]
fn the_page_asks_for_nothing_from_elsewhere() {
    let folder = tempfile::tempdir().expect("folder");
    grpo(folder.path());
    let html = report(folder.path());
    for outside in ["http://", "https://", "src=\"//", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn an_older_sft_run_is_read_too() {
    let folder = tempfile::tempdir().expect("folder");
    write(
        folder.path(),
        "metrics.jsonl",
        "{\"step\":10,\"loss\":4.0,\"place\":1.0}\n\
         {\"step\":10,\"full_recall\":0.5,\"baseline\":{\"full_recall\":0.25},\"kinds\":{\"total\":{\"full_recall\":0.75}}}\n\
         {\"step\":20,\"loss\":3.0,\"place\":1.0}\n\
         {\"step\":15,\"loss\":2.0,\"place\":1.0}\n",
    );
    let run = Run::open(folder.path(), 1).expect("a run");
    // Step 20 was written before the run was resumed from 10.
    assert_eq!(run.series["loss"], [(10, 4.0), (15, 2.0)]);
    assert_eq!(run.series["eval/full_recall"], [(10, 0.5)]);
    let html = report(folder.path());
    assert!(html.contains("Wholly inside") && html.contains("class=\"beside\""));
    assert!(html.contains("by kind of question (1)") && !html.contains("id=\"rollouts\""));
}

#[test]
fn a_folder_that_is_no_run_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let error = |folder: &Path| Run::open(folder, 1).err().expect("refused").to_string();
    assert!(error(folder.path()).contains("this is no run"));
    assert!(error(&folder.path().join("absent")).contains("no such folder"));
    write(folder.path(), "metrics.jsonl", "");
    assert!(error(folder.path()).contains("no numbers yet"));
    write(
        folder.path(),
        "metrics.jsonl",
        "{\"step\":1,\"loss\":1}\nnonsense\n{}\n",
    );
    assert!(error(folder.path()).contains("metrics.jsonl, line 2"));
}

#[test]
fn a_picture_that_is_gone_is_said_in_its_place() {
    let folder = tempfile::tempdir().expect("folder");
    grpo(folder.path());
    std::fs::remove_file(folder.path().join("page.png")).expect("removed");
    let html = report(folder.path());
    assert!(html.contains("class=\"picture lost\"") && html.contains("page.png: cannot be read"));
    assert_eq!(html.matches("class=\"box c0\"").count(), 3);
}

#[test]
fn a_picture_in_a_parquet_file_is_shown() {
    let folder = tempfile::tempdir().expect("folder");
    grpo(folder.path());
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/docvqa.parquet");
    std::fs::copy(data, folder.path().join("a.parquet")).expect("copied");
    let path = folder.path().join("rollouts.jsonl");
    let groups = std::fs::read_to_string(&path).expect("groups");
    std::fs::write(&path, groups.replace("page.png", "a.parquet#0")).expect("written");
    let html = report(folder.path());
    assert_eq!(html.matches("src=\"data:image/jpeg;base64,").count(), 3);
}

#[test]
fn smoothing_starts_at_the_first_value_and_keeps_a_level() {
    let level: Vec<(u64, f64)> = (0..200).map(|i| (i, 2.0)).collect();
    assert!(smoothed(&level).iter().all(|p| (p.1 - 2.0).abs() < 1e-12));
    let noisy: Vec<(u64, f64)> = (0..200)
        .map(|i| (i, if i % 2 == 0 { 1.0 } else { 3.0 }))
        .collect();
    let smooth = smoothed(&noisy);
    assert_eq!(smooth[0].1, 1.0);
    assert!(smooth[100..].iter().all(|p| (p.1 - 2.0).abs() < 0.3));
    let few = [(1, 1.0), (2, 5.0)].to_vec();
    assert_eq!(smoothed(&few), few);
}

#[test]
fn numbers_are_short_and_places_even() {
    assert_eq!(
        [0.12345, 12.345, 1234.5, 5e-6, -0.5].map(number),
        ["0.123", "12.3", "1,235", "5.0e-6", "\u{2212}0.5"]
    );
    assert_eq!([0.5, -0.5, 0.0].map(signed), ["+0.5", "\u{2212}0.5", "0"]);
    assert_eq!(thousands(-1_234_567), "\u{2212}1,234,567");
    assert_eq!(
        escape("<a href='x'>&\""),
        "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
    );
    assert_eq!(spread(5, 3), [0, 2, 4]);
    assert_eq!(spread(2, 9), [0, 1]);
    assert_eq!(spread(9, 1), [8]);
    assert_eq!(ticks(0.0, 1.0, 4), [0.0, 0.5, 1.0]);
    assert_eq!(ticks(3.0, 3.0, 4), [3.0]);
}
