// Embeddings of tokens: rows of a packed table, and rows of pictures where those stand. A workgroup a token.
// Twin on the processor: `Linear::row`. `weights.wgsl` stands before it.

struct Numbers {
  fours: u32,  // numbers of a row in fours
}

const PICTURE = 0x80000000u;  // this bit set: the other ones are a row of `pictures`

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(3) var<storage, read> ids: array<u32>;                  // [tokens]
@group(0) @binding(4) var<storage, read> pictures: array<vec4<f32>>;       // [image tokens, fours]
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;      // [tokens, fours]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let id = ids[group.x];
  for (var four = local; four < n.fours; four += 64u) {
    let at = group.x * n.fours + four;
    if (id & PICTURE) != 0u {
      out[at] = pictures[(id & ~PICTURE) * n.fours + four];
    } else {
      out[at] = weight(id, four, n.fours);
    }
  }
}
