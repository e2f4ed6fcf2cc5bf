// Rotary positions ("rotate_half": the halves of a head with one another), queries in place, keys on their way into the
// cache, values beside them. An invocation a pair of a head's numbers.
// Twins on the processor: `packed::rotate`, `Segment::extend`.

struct Numbers {
  rows: u32,
  tokens: u32,  // of a row
  queries: u32, // heads
  keys: u32,    // heads
  half: u32,    // half of a head's numbers
  before: u32,  // tokens of a row that the cache has
  room: u32,    // tokens of a row that the cache has room for
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> turns: array<vec2<f32>>;         // cosine and sine, [tokens, half]
@group(0) @binding(2) var<storage, read_write> q: array<f32>;             // [rows, tokens, queries, 2 half]
@group(0) @binding(3) var<storage, read> k: array<f32>;                   // [rows, tokens, keys, 2 half]
@group(0) @binding(4) var<storage, read> v: array<f32>;                   // [rows, tokens, keys, 2 half]
@group(0) @binding(5) var<storage, read_write> cached_k: array<f32>;      // [rows, room, keys, 2 half]
@group(0) @binding(6) var<storage, read_write> cached_v: array<f32>;      // [rows, room, keys, 2 half]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let pairs = (n.queries + n.keys) * n.half;
  if id.x >= pairs { return; }
  let token = id.y;  // of all rows
  let at = token % n.tokens;
  let i = id.x % n.half;
  let turn = turns[at * n.half + i];
  let head = id.x / n.half;
  if head < n.queries {
    let start = (token * n.queries + head) * 2u * n.half + i;
    let a = q[start];
    let b = q[start + n.half];
    q[start] = a * turn.x - b * turn.y;
    q[start + n.half] = b * turn.x + a * turn.y;
    return;
  }
  let key = head - n.queries;
  let start = (token * n.keys + key) * 2u * n.half + i;
  let to = (((token / n.tokens) * n.room + n.before + at) * n.keys + key) * 2u * n.half + i;
  let a = k[start];
  let b = k[start + n.half];
  cached_k[to] = a * turn.x - b * turn.y;
  cached_k[to + n.half] = b * turn.x + a * turn.y;
  cached_v[to] = v[start];
  cached_v[to + n.half] = v[start + n.half];
}
