//! The check passes on a card that computes rightly, and names the kernel that does not.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use pollster::block_on;

use super::*;
use crate::gpu::tests::bare_card;

/// Sizes of heads: SmolVLM's, and one that is no power of two.
const DIMS: [usize; 2] = [64, 12];

#[test]
fn a_card_computes_what_the_processor_computes() {
    let Some(gpu) = bare_card() else { return };
    let card = block_on(Card::new(gpu, &DIMS)).unwrap();
    block_on(check(&card)).unwrap();
}

#[test]
fn in_f16_products_differ_by_its_eleven_bits() {
    if bare_card().is_none() {
        return;
    }
    let gpu = match block_on(Gpu::open_bare_half()) {
        Ok(gpu) => gpu,
        Err(GpuError::NoHalf { .. }) => return,
        Err(other) => panic!("{other}"),
    };
    let card = block_on(Card::checked(gpu, &DIMS)).unwrap();
    // It is not f32 that was compared.
    let exact = |wgsl: String| wgsl.replace("alias Four = vec4<f16>;", "alias Four = vec4<f32>;");
    let plain = block_on(Card::compiled(card.gpu().clone(), &DIMS, &exact)).unwrap();
    let products = [&card, &plain].map(|card| {
        let weights: Vec<u8> = (0..64 * 64u32)
            .flat_map(|i| (0.01 * (i % 97) as f32).to_le_bytes())
            .collect();
        let weights = Weights::upload(card, [64, 64], Kind::F32, &weights, &[]);
        let mut pass = Pass::new(card);
        let x = pass.upload(&[0.37; 32 * 64], 64);
        let out = pass.rows(32, 64);
        pass.product(&weights, &x, &out, Then::Set);
        block_on(pass.read(&[&out])).unwrap()
    });
    assert_ne!(products[0], products[1]);
}

#[test]
fn a_kernel_that_computes_something_else_is_named() {
    let Some(gpu) = bare_card() else { return };
    let broken = [
        (
            "sum3 += vec4<f32>(vec4(dot(v3, w0)",
            "sum3 += vec4<f32>(vec4(dot(v2, w0)",
            "products",
        ),
        (
            "sum += dot(weight(which",
            "sum += 1.1 * dot(weight(which",
            "products of few rows",
        ),
        (
            "which = picks[output]",
            "which = picks[output] ^ 1u",
            "logits of some tokens",
        ),
        ("id & ~PICTURE", "1u - (id & ~PICTURE)", "embeddings"),
        (
            "mean = total(sum, local)",
            "mean = 0.5 * total(sum, local)",
            "layer norms",
        ),
        ("inverseSqrt(total", "1.01 * inverseSqrt(total", "RMS norms"),
        ("* up[at]", "* up[at ^ 1u]", "SwiGLU"),
        ("i / n.fours / n.scale", "i / n.fours % n.scale", "folding"),
        (
            "a * turn.x - b * turn.y;\n  cached_k[to + n.half] =",
            "a;\n  cached_k[to + n.half] =",
            "attention",
        ),
        ("first + j >= sees", "first + j > sees", "attention"),
        ("if share < SHARES", "if share < SHARES - 1u", "attention"),
        (
            "- top, -87.0)) / sums[0]",
            "- top, -87.0))",
            "where a token looks",
        ),
    ];
    for (right, wrong, what) in broken {
        let change = |wgsl: String| wgsl.replace(right, wrong);
        let card = block_on(Card::compiled(gpu.clone(), &DIMS, &change)).unwrap();
        match block_on(check(&card)) {
            Err(GpuError::Wrong { what: found, .. }) => {
                assert!(found.starts_with(what), "{right}: {found}");
            }
            other => panic!("{right}: {other:?}"),
        }
    }
}
