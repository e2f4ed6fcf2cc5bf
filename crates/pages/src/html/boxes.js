// Where a page's words stand: lines of print with the boxes of their ink, and those of every marked part (`data-p`), in CSS pixels.
(() => {
  const pen = document.createElement("canvas").getContext("2d");
  const lines = [];
  const parts = {};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const owner = node.parentElement;
    const style = getComputedStyle(owner);
    // A turned text's rectangle is not its ink.
    if (style.visibility !== "visible" || owner.closest("style, script, [transform]")) continue;
    pen.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const shown = style.textTransform === "uppercase" ? (t) => t.toUpperCase() : (t) => t;
    let line = null;
    const found = [];
    for (const word of node.data.matchAll(/\S+/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const rect = range.getClientRects()[0];
      if (!rect || rect.width === 0) continue;
      // The client's rectangle is as high as the font; the ink is not.
      const text = shown(word[0]);
      const ink = pen.measureText(text);
      const scale = rect.height / (ink.fontBoundingBoxAscent + ink.fontBoundingBoxDescent);
      const base = rect.top + ink.fontBoundingBoxAscent * scale;
      const top = base - ink.actualBoundingBoxAscent * scale;
      const low = base + ink.actualBoundingBoxDescent * scale;
      if (line && Math.abs(line.row - rect.top) < 2 && rect.left >= line.box[2] - 1) {
        line.text += " " + text;
        line.box = [line.box[0], Math.min(line.box[1], top), rect.right, Math.max(line.box[3], low)];
      } else {
        line = { text, row: rect.top, box: [rect.left, top, rect.right, low] };
        found.push(line);
      }
    }
    lines.push(...found);
    const part = owner.closest("[data-p]");
    if (part) (parts[part.dataset.p] ??= []).push(...found.map((l) => l.box));
  }
  // A control that holds no text is marked as a whole.
  for (const part of document.querySelectorAll("[data-v]")) {
    const { left, top, right, bottom } = part.getBoundingClientRect();
    if (right > left && bottom > top) parts[part.dataset.p] = [[left, top, right, bottom]];
  }
  const height = Math.ceil(document.body.getBoundingClientRect().bottom);
  return { lines: lines.map(({ text, box }) => ({ text, box })), parts, height };
})()
