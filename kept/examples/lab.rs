//! lab
use grounding::{NormBox, Sample};
use policy::map::{BoxDistribution, Features, MapPolicy, keys};
use rand::{SeedableRng, seq::SliceRandom};
use std::collections::BTreeMap;
use std::io::Write;
fn row(seen: &Features, b: NormBox, gap: usize) -> NormBox {
    let i = &seen.letters[0];
    let r1 = (b.y1 / 100. * i.rows as f32) as usize;
    let r2 = ((b.y2 / 100. * i.rows as f32).ceil() as usize).min(i.rows);
    if r2 <= r1 || r2 - r1 > 8 {
        return b;
    }
    let on = |c: usize| (r1..r2).any(|r| i.is_printed(r, c));
    let mut right = (b.x2 / 100. * i.columns as f32).ceil() as usize;
    let mut left = (b.x1 / 100. * i.columns as f32) as usize;
    let mut c = right;
    let mut free = 0;
    while c < i.columns && free <= gap {
        if on(c) {
            right = c + 1;
            free = 0
        } else {
            free += 1
        }
        c += 1;
    }
    let mut c = left;
    free = 0;
    while c > 0 && free <= gap {
        c -= 1;
        if on(c) {
            left = c;
            free = 0
        } else {
            free += 1
        }
    }
    NormBox {
        x1: b.x1.min((left as f32 / i.columns as f32 * 100.).floor()),
        x2: b
            .x2
            .max((right as f32 / i.columns as f32 * 100.).ceil().min(100.)),
        ..b
    }
}
fn keybox(seen: &Features, k: &keys::Key) -> NormBox {
    let i = &seen.letters[0];
    NormBox {
        x1: (k.place.from as f32 / i.columns as f32 * 100.).floor(),
        x2: ((k.place.to + 1) as f32 / i.columns as f32 * 100.).ceil(),
        y1: ((k.place.row as f32) / i.rows as f32 * 100.).floor(),
        y2: ((k.place.row as f32 + 1.) / i.rows as f32 * 100.).ceil(),
    }
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (model, out) = (&args[1], &args[2]);
    let pixels: Option<usize> = args[3].parse().ok();
    let files = policy::ModelFiles::from_dir(std::path::Path::new(model)).expect("model");
    let mut p = MapPolicy::load(&files, &burn::tensor::Device::flex()).expect("load");
    if let Some(px) = pixels {
        p.config.canvas_pixels = px;
    }
    let mut groups: Vec<(String, String, Vec<Sample>)> = vec![];
    let root = "data/";
    for spec in &args[4..] {
        let (set, limit) = spec.split_once(':').expect("set:images");
        let limit: usize = limit.parse().expect("n");
        let mut by: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for f in set.split('+') {
            for line in std::fs::read_to_string(format!("{root}{f}.jsonl"))
                .expect("set")
                .lines()
            {
                let s: Sample = serde_json::from_str(line).expect("sample");
                by.entry(s.image.clone()).or_default().push(s);
            }
        }
        let mut all: Vec<_> = by.into_iter().collect();
        all.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(3));
        groups.extend(
            all.into_iter()
                .take(limit)
                .map(|(i, s)| (set.to_string(), i, s)),
        );
    }
    groups.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(4));
    let known = std::fs::read_to_string(out).unwrap_or_default();
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(out)
        .expect("out");
    let rules = [(0.87, 2.5), (0.9, 1.5), (0.92, 1.0), (0.9, 0.6)];
    for (set, image, samples) in groups {
        if known.contains(&format!("\"{image}\"")) {
            continue;
        }
        let bytes = std::fs::read(format!("{root}{image}")).expect("file");
        let Ok(pic) = picture::decode(&bytes) else {
            eprintln!("{image} fails");
            continue;
        };
        let t0 = std::time::Instant::now();
        let seen = pollster::block_on(p.look_upright(&pic, None)).expect("look");
        let lies =
            (!seen.turn.is_none()).then(|| pollster::block_on(p.look(&pic, None)).expect("look"));
        let t1 = t0.elapsed().as_millis() as u64;
        for s in samples {
            let dist =
                |seen: &Features, q: &str| pollster::block_on(p.distribution(seen, q)).expect("d");
            let mut v: BTreeMap<String, serde_json::Value> = BTreeMap::new();
            let mut add = |name: String, b: NormBox, held: f64| {
                let inside = if s.boxes.is_empty() {
                    0.
                } else {
                    grounding::metrics::score(&s, b).full_recall as u8 as f64
                };
                v.insert(
                    name,
                    serde_json::json!([inside, b.area(), (held * 1000.).round() / 1000.]),
                );
            };
            let d0 = dist(&seen, &s.question);
            if let Some(l) = &lies {
                let (b, h) = dist(l, &s.question).proposed(0.87, 2.5);
                add("lies".into(), b, h);
            } else {
                let (b, h) = d0.proposed(0.87, 2.5);
                add("lies".into(), b, h);
            }
            let ks = keys::of_question(&seen.letters[0], &s.question, 2);
            let dk: Vec<BoxDistribution> = ks.iter().map(|k| dist(&seen, &k.question)).collect();
            let dv = ks
                .first()
                .map(|k| dist(&seen, &format!("What is the value of \"{}\"?", k.text)));
            let mut ds: Vec<(&str, BoxDistribution)> = vec![("d0", d0.clone())];
            if let (Some(a), Some(b)) = (dk.first(), &dv) {
                ds.push(("in1", a.clone()));
                ds.push(("val", b.clone()));
                ds.push((
                    "mixA",
                    BoxDistribution::mixed(&[(0.5, d0.clone()), (0.5, a.clone())]),
                ));
                ds.push((
                    "mixB",
                    BoxDistribution::mixed(&[
                        (0.3, d0.clone()),
                        (0.4, a.clone()),
                        (0.3, b.clone()),
                    ]),
                ));
                let mut parts = vec![(4f64.exp(), d0.clone())];
                parts.extend(
                    ks.iter()
                        .zip(&dk)
                        .map(|(k, d)| (f64::from(k.worth).exp(), d.clone())),
                );
                let sum: f64 = parts.iter().map(|p| p.0).sum();
                parts.iter_mut().for_each(|p| p.0 /= sum);
                ds.push(("mixC", BoxDistribution::mixed(&parts)));
            } else {
                for n in ["in1", "val", "mixA", "mixB", "mixC"] {
                    ds.push((n, d0.clone()));
                }
            }
            for (n, d) in &ds {
                for (i, r) in rules.iter().enumerate() {
                    let (b, h) = d.proposed(r.0, r.1);
                    add(format!("{n}/{i}"), seen.turn.back(b), h);
                    if i == 0 && matches!(*n, "d0" | "in1" | "mixB" | "mixC") {
                        for g in [6usize, 16, 40, 400] {
                            add(format!("{n}/row{g}"), seen.turn.back(row(&seen, b, g)), h);
                        }
                        if let Some(k) = ks.first() {
                            let kb = keybox(&seen, k);
                            let hull = b.join(kb);
                            let ok = hull.area() - b.area() < 0.06;
                            add(
                                format!("{n}/key"),
                                seen.turn.back(if ok { hull } else { b }),
                                h,
                            );
                            let r = row(&seen, kb, 400);
                            let far = b.join(r);
                            add(
                                format!("{n}/keyrow"),
                                seen.turn
                                    .back(if far.area() - b.area() < 0.08 { far } else { b }),
                                h,
                            );
                        } else {
                            add(format!("{n}/key"), seen.turn.back(b), h);
                            add(format!("{n}/keyrow"), seen.turn.back(b), h);
                        }
                    }
                }
            }
            // The one that thinks most of itself.
            let mut best: Option<(f64, NormBox, f64)> = None;
            for (n, d) in &ds[..2] {
                let (b, h) = d.proposed(0.87, 2.5);
                let u = h - 2.5 * f64::from(b.area()) + if *n == "in1" { 0.1 } else { 0. };
                if best.is_none_or(|x| x.0 < u) {
                    best = Some((u, b, h));
                }
            }
            if let Some((_, b, h)) = best {
                add("pick/0".into(), seen.turn.back(b), h);
            }
            let keys: Vec<_> = ks
                .iter()
                .map(|k| (k.text.clone(), k.worth, k.place.score))
                .collect();
            let e = d0.evidence().into_iter().fold(0f32, f32::max);
            writeln!(file, "{}", serde_json::json!({"set": set, "id": s.id, "image": image, "kind": s.kind, "q": s.question, "none": s.boxes.is_empty(),
                "quoted": policy::map::question::key_of(&s.question).is_some(), "keys": keys, "turn": seen.turn.degrees(), "ms": t1, "e": e, "v": v})).expect("write");
        }
    }
}
