import { CropVLM } from "cropvlm";

const [file, question] = document.querySelectorAll("input");
const output = document.querySelector("output");
const image = document.querySelector("img");
let loading;

async function propose() {
  if (!file.files[0]) return;
  output.value = "Looking …";
  try {
    const crop = await (loading ??= CropVLM.load());
    const proposal = await crop.propose(file.files[0], question.value);
    image.src = URL.createObjectURL(await proposal.blob());
    image.hidden = false;
    output.value = `Box ${proposal.box.join(", ")} percent`;
  } catch (error) {
    output.value = `${error.code}: ${error.message}`;
  }
}

file.addEventListener("change", propose);
question.addEventListener("change", propose);
