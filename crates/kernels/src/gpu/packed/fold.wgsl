// Folds `scale` x `scale` neighbouring patches into the channels of one token (Idefics3's pixel shuffle). A workgroup a token.
// Twin on the processor: `fold_patches` of `smolvlm`.

struct Numbers {
  side: u32,   // tokens of a tile's edge, folded
  scale: u32,
  fours: u32,  // channels of a patch in fours
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // [tiles, side scale, side scale, fours]
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;      // [tiles, side, side, scale, scale, fours]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let tile = group.x / (n.side * n.side);
  let row = group.x / n.side % n.side;
  let column = group.x % n.side;
  let edge = n.side * n.scale;
  let count = n.scale * n.scale * n.fours;
  for (var i = local; i < count; i += 64u) {
    let patch_row = row * n.scale + i / n.fours / n.scale;
    let patch_column = column * n.scale + i / n.fours % n.scale;
    out[group.x * count + i] = x[((tile * edge + patch_row) * edge + patch_column) * n.fours + i % n.fours];
  }
}
