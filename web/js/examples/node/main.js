// node main.js picture.jpg "What is the total?"
import { readFile, writeFile } from "node:fs/promises";
import { CropVLM } from "cropvlm";

const [path, question] = process.argv.slice(2);
const crop = await CropVLM.load();
const { box, blob } = await crop.propose(await readFile(path), question);
await writeFile("crop.png", Buffer.from(await (await blob()).arrayBuffer()));
console.log(box.join(" "));
await crop.dispose();
