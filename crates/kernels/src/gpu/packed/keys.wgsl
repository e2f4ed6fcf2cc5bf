// Keys and values of a sequence whose rows share its beginning, put in front of the kernels of attention.

struct Numbers {
  tokens: u32,  // queries of a row
  heads: u32,   // of queries
  fold: u32,    // query heads that share a key head
  before: u32,  // tokens that all rows have in common
  own: u32,     // tokens of a row after those, the newest ones among them
  room: u32,    // tokens of a row that the cache has room for
  causal: u32,  // 1: each query sees the tokens up to itself, 0: all see all
  scale: f32,   // of scores
}

const FOURS = 16u;  // numbers of a head in fours; set by `attention.rs`

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;          // [rows, tokens, heads, FOURS]
@group(0) @binding(2) var<storage, read> common_keys: array<vec4<f32>>;      // [before, key heads, FOURS]
@group(0) @binding(3) var<storage, read> own_keys: array<vec4<f32>>;         // [rows, room, key heads, FOURS]

// Where the `four`-th four numbers of a token's key lie, and of its value, among those of the beginning for tokens below `before`.
fn place(token: u32, head: u32, row: u32, four: u32) -> u32 {
  let key_heads = n.heads / n.fold;
  if token < n.before { return (token * key_heads + head) * FOURS + four; }
  return ((row * n.room + token - n.before) * key_heads + head) * FOURS + four;
}

fn key_of(token: u32, head: u32, row: u32, four: u32) -> vec4<f32> {
  let at = place(token, head, row, four);
  if token < n.before { return common_keys[at]; }
  return own_keys[at];
}

// Tokens that a query of a row sees.
fn seen(query: u32) -> u32 {
  let all = n.before + n.own;
  if n.causal == 0u { return all; }
  return all - n.tokens + query + 1u;
}
