// node speed.mjs [picture] — processor time of a picture and of a question, after the first ones.
import { readFile } from "node:fs/promises";
import { CropVLM } from "../pkg/node.js";

const picture = process.argv[2] ?? new URL("../../samples/receipt.jpg", import.meta.url);
const file = await readFile(picture);
const crop = await CropVLM.load();
const used = () => process.cpuUsage().user / 1000;
const times = { encode: [], ask: [] };
for (let round = 0; round < 7; round++) {
  let start = used();
  const page = await crop.encode(file);
  times.encode.push(used() - start);
  start = used();
  await page.ask("What is the total?");
  times.ask.push(used() - start);
  page.dispose();
}
for (const [name, all] of Object.entries(times)) {
  const sorted = all.slice(1).sort((a, b) => a - b); // the first one compiles
  console.log(`${name}: ${Math.round(sorted[sorted.length >> 1])} ms`);
}
await crop.dispose();
