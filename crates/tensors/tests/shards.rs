//! Folders of shards in typed blocks: what is written is read again tensor by tensor, from memory and from a disk, and a shard
//! that is missing, cut, another one or no weights at all is refused by its name.

use std::collections::BTreeMap;

use tensors::{BlockType, Entry, INDEX, ModelFiles, Packed, TensorError, Weights, write_shards};

const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

fn values(count: usize, salt: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 37 + salt) * 7919 % 1009) as f32 / 504.5 - 1.0;
    (0..count).map(value).collect()
}

fn entry(name: &str, shape: &[usize], kind: BlockType) -> Entry {
    Entry {
        name: name.into(),
        shape: shape.to_vec(),
        kind,
    }
}

fn entries() -> Vec<Entry> {
    vec![
        // A row of two and a half blocks; a kernel; an odd row, which q4 leaves to q8; a vector, which stays f32.
        entry("a.weight", &[48, 80], BlockType::Q8),
        entry("b.weight", &[40, 80], BlockType::Q4),
        entry("c.kernel", &[6, 3, 4, 4], BlockType::Q4),
        entry("d.odd", &[8, 33], BlockType::Q4),
        entry("e.bias", &[48], BlockType::Q8),
    ]
}

fn packed(entry: &Entry) -> Packed<'static> {
    let count = entry.shape.iter().product();
    let values = values(count, entry.name.len());
    Packed::pack(&entry.name, entry.kind, &entry.shape, &values, &[]).expect("packed")
}

/// The folder, in shards of 6,000 bytes at most.
fn folder() -> ModelFiles {
    let mut files = ModelFiles::default();
    write_shards::<TensorError>(
        &entries(),
        6_000,
        |entry| Ok(packed(entry)),
        |name, bytes| {
            assert!(name == INDEX || bytes.len() <= 6_000, "{}", bytes.len());
            files.insert(name, bytes);
            Ok(())
        },
    )
    .expect("written");
    files
}

/// The weights of a folder as f32, every hash checked; or why not.
fn all(files: &ModelFiles) -> Result<BTreeMap<String, Vec<f32>>, TensorError> {
    let weights = Weights::open(files)?;
    let mut all = BTreeMap::new();
    for file in weights.files() {
        weights.check(file)?;
        for (name, shape) in file.tensors() {
            let values = file.values(name)?;
            assert_eq!(values.len(), shape.iter().product::<usize>());
            all.insert(name.to_string(), values);
        }
    }
    Ok(all)
}

fn refusal(files: &ModelFiles) -> String {
    all(files).expect_err("refused").to_string()
}

#[test]
fn blocks_come_back_from_shards_as_they_were_packed() {
    let files = folder();
    let names: Vec<&str> = files.names().collect();
    assert_eq!(names, [FIRST, SECOND, INDEX]);
    let found = all(&files).unwrap();
    for (entry, most) in entries().iter().zip([0.005, 0.13, 0.13, 0.005, 0.0]) {
        assert_eq!(found[&entry.name], packed(entry).values());
        let count = entry.shape.iter().product();
        let exact = values(count, entry.name.len());
        let gaps = found[&entry.name].iter().zip(&exact);
        let gap = gaps.fold(0f32, |gap, (a, b)| gap.max((a - b).abs()));
        assert!(gap <= most, "{}: {gap}", entry.name);
    }
    assert_eq!(found.len(), entries().len());
    let index: serde_json::Value = files.json(INDEX).unwrap();
    assert_eq!(index["weight_map"]["a.weight"], FIRST);
    assert_eq!(index["weight_map"]["a.weight.scales"], FIRST);
    let bytes = entries()
        .iter()
        .map(|entry| packed(entry).bytes())
        .sum::<usize>();
    assert_eq!(index["metadata"]["total_size"], bytes);
}

#[test]
fn block_types_take_the_bytes_that_they_say() {
    for entry in entries() {
        let packed = packed(&entry);
        assert_eq!(packed.kind(), entry.kind.fitting(&entry.shape));
        assert_eq!(packed.kind().bytes(&entry.shape), packed.bytes());
    }
    assert_eq!(BlockType::Q8.bytes(&[2, 64]), 128 + 8);
    assert_eq!(BlockType::Q4.bytes(&[2, 64]), 64 + 8);
}

#[test]
fn a_folder_on_a_disk_is_read_tensor_by_tensor() {
    let place = tempfile::tempdir().unwrap();
    let files = folder();
    files.save(place.path()).unwrap();
    let on_disk = ModelFiles::from_dir(place.path()).unwrap();
    assert_eq!(all(&on_disk).unwrap(), all(&files).unwrap());
    // Nothing was read when the folder was opened: what is gone from it since is missing now.
    std::fs::remove_file(place.path().join(SECOND)).unwrap();
    let said = refusal(&on_disk);
    assert!(
        said.contains(SECOND) && said.contains("cannot be read"),
        "{said}"
    );
    // As bytes a file is read once, and is the same.
    assert_eq!(on_disk.get(FIRST).unwrap(), files.get(FIRST).unwrap());
}

#[test]
fn a_wrong_hash_a_missing_shard_and_a_cut_one_are_refused_by_name() {
    let mut files = folder();
    let whole = files.get(SECOND).unwrap().to_vec();

    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    files.insert(SECOND, changed);
    let said = refusal(&files);
    let expected = format!("{SECOND}: its SHA-256 is ");
    assert!(
        said.starts_with(&expected) && said.ends_with("get it again"),
        "{said}"
    );

    files.insert(SECOND, whole[..whole.len() - 9].to_vec());
    let said = refusal(&files);
    let expected = format!(
        "{SECOND}: not a readable safetensors file: it has {} bytes, its header says {}",
        whole.len() - 9,
        whole.len()
    );
    assert!(said.starts_with(&expected), "{said}");

    files.insert(SECOND, whole[..5].to_vec());
    assert!(refusal(&files).contains("it has 5 bytes only"));

    files.insert(SECOND, b"<!doctype html><title>404</title>".to_vec());
    let said = refusal(&files);
    assert!(
        said.starts_with(SECOND) && said.contains("web page"),
        "{said}"
    );

    files.remove(SECOND);
    let said = refusal(&files);
    assert!(
        said.starts_with(&format!("the model folder has no {SECOND}")),
        "{said}"
    );
}

#[test]
fn an_index_without_hashes_is_read_as_others_write_it() {
    let mut files = folder();
    let mut index: serde_json::Value = files.json(INDEX).unwrap();
    for metadata in [
        serde_json::json!({"total_size": 513e6}),
        serde_json::Value::Null,
    ] {
        index["metadata"] = metadata;
        files.insert(INDEX, index.to_string().into_bytes());
        assert_eq!(all(&files).unwrap().len(), entries().len());
    }
}

#[test]
fn an_index_that_is_none_is_refused() {
    let mut files = folder();
    files.insert(INDEX, b"<!doctype html>".to_vec());
    assert_eq!(
        refusal(&files),
        format!("{INDEX}: it is a web page, where JSON is meant")
    );
    for name in [
        "../x.safetensors",
        "https://x.org/x.safetensors",
        "config.json",
    ] {
        let index = serde_json::json!({"weight_map": {"a": name}});
        files.insert(INDEX, index.to_string().into_bytes());
        let said = refusal(&files);
        let expected = format!("{INDEX}: weight_map names {name}");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn scales_that_do_not_fit_are_named() {
    let whole = packed(&entry("w", &[2, 64], BlockType::Q8));
    let data: Vec<u8> = vec![1; 128];
    let file = |scales: Option<(safetensors::Dtype, Vec<usize>)>| {
        let view = |kind, shape, data| safetensors::tensor::TensorView::new(kind, shape, data);
        let mut tensors = BTreeMap::from([(
            "w",
            view(safetensors::Dtype::I8, vec![2, 64], &data).unwrap(),
        )]);
        let bytes = [0u8; 64];
        if let Some((kind, shape)) = scales {
            let length = shape.iter().product::<usize>() * kind.bitsize() / 8;
            tensors.insert("w.scales", view(kind, shape, &bytes[..length]).unwrap());
            return safetensors::serialize(tensors, None).unwrap();
        }
        safetensors::serialize(tensors, None).unwrap()
    };
    let said = |bytes: Vec<u8>| {
        let file = tensors::WeightFile::of("x.safetensors", &bytes).unwrap();
        file.tensor("w")
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(whole.shape(), [2, 64]);
    use safetensors::Dtype::{F16, F32};
    assert_eq!(said(file(Some((F16, vec![2, 2])))), Ok(()));
    for (scales, expected) in [
        (None, "x.safetensors: tensor w.scales is missing"),
        (Some((F32, vec![2, 2])), "tensor w.scales has type F32"),
        (
            Some((F16, vec![2, 3])),
            "shape [2, 3], expected F16 and [2, 2]",
        ),
    ] {
        let said = said(file(scales)).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn values_that_no_block_holds_are_refused_by_the_tensors_name() {
    for kind in [BlockType::Q8, BlockType::Q4] {
        let said = Packed::pack("w", kind, &[1, 32], &[1e9; 32], &[]).unwrap_err();
        assert!(
            said.to_string().starts_with("tensor w holds 1000000000"),
            "{said}"
        );
    }
}

#[test]
fn a_scale_that_is_no_number_is_refused() {
    let mut files = folder();
    let mut index: serde_json::Value = files.json(INDEX).unwrap();
    index["metadata"] = serde_json::json!({});
    files.insert(INDEX, index.to_string().into_bytes());
    let mut bytes = files.get(FIRST).unwrap().to_vec();
    let opened = tensors::open_file(FIRST, &bytes).unwrap();
    let scales = opened.tensor("a.weight.scales").unwrap().data();
    let at = scales.as_ptr() as usize - bytes.as_ptr() as usize;
    bytes[at..at + 2].copy_from_slice(&half::f16::NAN.to_le_bytes());
    files.insert(FIRST, bytes);
    let said = refusal(&files);
    assert!(
        said.starts_with(&format!("{FIRST}: tensor a.weight holds NaN")),
        "{said}"
    );
}
