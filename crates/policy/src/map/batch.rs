//! What the network gets of several pictures and questions at once, as tensors.

use burn::tensor::{Device, Tensor, TensorData};
use mapnet::canvas::normalised;
use mapnet::char_logits::HALVES;
use mapnet::hints::of_question;
use mapnet::{TextIndex, Words};
use rayon::prelude::*;

/// Canvases of one size, each [`normalised`], as a tensor `[B, 1, H, W]`.
pub fn canvases(pages: &[Vec<u8>], width: u32, height: u32, device: &Device) -> Tensor<4> {
    let pixels = width as usize * height as usize;
    let mut values = vec![0f32; pages.len() * pixels];
    let places = values.par_chunks_exact_mut(pixels.max(1));
    places.zip(pages).for_each(|(place, canvas)| {
        place
            .iter_mut()
            .zip(normalised(canvas))
            .for_each(|(to, value)| *to = value);
    });
    let shape = [pages.len(), 1, height as usize, width as usize];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The maps of several questions as a tensor `[Q, hints, h, w]`; all pictures of one size. `words` is the model's table of words.
pub fn hints<S: AsRef<str> + Sync>(
    texts: &[TextIndex],
    owners: &[usize],
    questions: &[S],
    words: Option<&Words>,
    device: &Device,
) -> Tensor<4> {
    let [height, width] = texts
        .first()
        .map_or([0, 0], |i| [i.rows, i.columns / HALVES]);
    let maps: Vec<Vec<f32>> = owners
        .par_iter()
        .zip(questions)
        .map(|(owner, question)| of_question(&texts[*owner], words, question.as_ref()))
        .collect();
    let values = maps.concat();
    let cells = questions.len() * height * width;
    let hints = values.len() / cells.max(1);
    let shape = [questions.len(), hints, height, width];
    Tensor::from_data(TensorData::new(values, shape), device)
}
