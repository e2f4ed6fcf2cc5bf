//! Blocks become the f32 numbers that numpy makes of them (`tests/parity/blocks.py golden`), bit for bit.

use tensors::WeightFile;

#[test]
fn blocks_become_what_numpy_makes_of_them() {
    let packed = include_bytes!("../goldens/packed.safetensors");
    let plain = include_bytes!("../goldens/plain.safetensors");
    let packed = WeightFile::of("packed.safetensors", packed).unwrap();
    let plain = WeightFile::of("plain.safetensors", plain).unwrap();
    let expected: Vec<_> = plain.tensors().collect();
    assert_eq!(packed.tensors().collect::<Vec<_>>(), expected);
    assert_eq!(expected.len(), 4);
    for (name, _) in expected {
        assert_eq!(
            packed.values(name).unwrap(),
            plain.values(name).unwrap(),
            "{name}"
        );
    }
}
