// The tiny SmolVLM: transformers' random weights, from `crates/smolvlm`.
import { readFileSync } from 'node:fs';

export const smolvlm = (path) => readFileSync(new URL(`../../../crates/smolvlm/${path}`, import.meta.url));
/** Everything but configuration and weights. */
export const SETTINGS = Object.fromEntries(
  ['preprocessor_config.json', 'processor_config.json', 'chat_template.json', 'tokenizer.json'].map((name) => [name, smolvlm(`tiny/${name}`)]),
);
/** The whole folder, as on the hub. */
export const FOLDER = { ...SETTINGS, 'config.json': smolvlm('tiny/config.json'), 'model.safetensors': smolvlm('goldens/model.safetensors') };
