// What the model that ships says for the total of the sample receipt: `cropvlm propose --model models/default
// --image web/samples/receipt.jpg --question "What is the total?"`. A new model changes it here alone.
export const TOTAL = [54, 48, 76, 57];
/** Width and height of its crop, pixels. */
export const CROP = [264, 159];
