// The page of `cropvlm annotate`: pictures, nested boxes, questions. All of it works from the keyboard; what is saved is
// on the disk when the status says so. Boxes are pixels of the picture as the trainer reads it.

const at = (id) => document.getElementById(id);
const [stage, picture, overlay, form, question, answers, status] =
  ["stage", "picture", "overlay", "form", "question", "answers", "status"].map(at);

/** The picture that is shown: name, width, height, questions. */
let shown = null;
let pictures = [];
/** Boxes of the question, `[x1, y1, x2, y2]`, from the smallest to the largest, and which is chosen. */
let boxes = [];
let chosen = -1;
/** Id of the question that is edited; null: a new one. */
let id = null;
let changed = false;

function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

/** Asks the program; a refusal is an error with its sentence. */
async function ask(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("the program does not answer: is `cropvlm annotate` still running?");
  }
  const found = reply.status === 204 ? null : await reply.json();
  if (!reply.ok) throw new Error(found?.error ?? `the program said ${reply.status}`);
  return found;
}

const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);

/** Boxes in their order, the chosen one still chosen. */
function sorted() {
  const kept = boxes[chosen];
  boxes.sort((a, b) => area(a) - area(b));
  chosen = kept ? boxes.indexOf(kept) : boxes.length - 1;
}

function draw() {
  overlay.replaceChildren();
  at("boxes").replaceChildren();
  if (!shown) return;
  overlay.setAttribute("viewBox", `0 0 ${shown.width} ${shown.height}`);
  overlay.setAttribute("preserveAspectRatio", "none");
  boxes.forEach((box, i) => {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const [x1, y1, x2, y2] = box;
    for (const [name, value] of Object.entries({ x: x1, y: y1, width: x2 - x1, height: y2 - y1 })) {
      rect.setAttribute(name, value);
    }
    rect.classList.toggle("chosen", i === chosen);
    overlay.append(rect);
    const line = document.createElement("li");
    line.textContent = `${box.map(Math.round).join(", ")}${i === chosen ? " (chosen)" : ""}`;
    line.classList.toggle("chosen", i === chosen);
    at("boxes").append(line);
  });
}

function touched() {
  changed = true;
  draw();
}

/** A box within the picture and of at least one pixel. */
function within([x1, y1, x2, y2]) {
  const fit = (value, most) => Math.min(Math.max(value, 0), most);
  const [w, h] = [shown.width, shown.height];
  const [left, top] = [fit(Math.min(x1, x2), w - 1), fit(Math.min(y1, y2), h - 1)];
  return [left, top, fit(Math.max(x1, x2, left + 1), w), fit(Math.max(y1, y2, top + 1), h)];
}

function add(box) {
  boxes.push(within(box));
  chosen = boxes.length - 1;
  sorted();
  touched();
}

/** A new box: in the middle, or around the largest one. */
function another() {
  const [w, h] = [shown.width, shown.height];
  const around = boxes.at(-1);
  if (!around) return add([0.4 * w, 0.4 * h, 0.6 * w, 0.6 * h].map(Math.round));
  const [x1, y1, x2, y2] = around;
  const [dx, dy] = [Math.max(0.25 * (x2 - x1), 2), Math.max(0.25 * (y2 - y1), 2)];
  add([x1 - dx, y1 - dy, x2 + dx, y2 + dy].map(Math.round));
}

/** Moves a box, or the edges on one side of it. */
function move(dx, dy, edges) {
  const box = boxes[chosen];
  if (!box) return;
  let [x1, y1, x2, y2] = box;
  if (edges === "all") {
    dx = Math.min(Math.max(dx, -x1), shown.width - x2);
    dy = Math.min(Math.max(dy, -y1), shown.height - y2);
  }
  if (edges !== "far") [x1, y1] = [x1 + dx, y1 + dy];
  if (edges !== "near") [x2, y2] = [x2 + dx, y2 + dy];
  if (edges === "near") [x1, y1] = [Math.min(x1, x2 - 1), Math.min(y1, y2 - 1)];
  if (edges === "far") [x2, y2] = [Math.max(x2, x1 + 1), Math.max(y2, y1 + 1)];
  boxes[chosen] = within([x1, y1, x2, y2]);
  sorted();
  touched();
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

stage.addEventListener("keydown", (event) => {
  if (!shown) return;
  const arrow = ARROWS[event.key];
  if (arrow) {
    const step = (side) => (event.altKey ? 1 : Math.max(1, Math.round(side / 100)));
    const edges = event.shiftKey ? "far" : event.ctrlKey ? "near" : "all";
    move(arrow[0] * step(shown.width), arrow[1] * step(shown.height), edges);
  } else if (event.key === "n" || event.key === "N") {
    another();
  } else if (event.key === "Delete" || event.key === "Backspace") {
    if (chosen < 0) return;
    boxes.splice(chosen, 1);
    chosen = Math.min(chosen, boxes.length - 1);
    touched();
  } else if (/^[1-9]$/.test(event.key) && boxes[event.key - 1]) {
    chosen = event.key - 1;
    draw();
  } else {
    return;
  }
  event.preventDefault();
});

/** Where a pointer is, in pixels of the picture. */
function pixels(event) {
  const seen = picture.getBoundingClientRect();
  const x = ((event.clientX - seen.left) / seen.width) * shown.width;
  const y = ((event.clientY - seen.top) / seen.height) * shown.height;
  return [x, y].map(Math.round);
}

stage.addEventListener("pointerdown", (event) => {
  if (!shown || event.button !== 0) return;
  stage.setPointerCapture(event.pointerId);
  const [x, y] = pixels(event);
  const end = (last) => {
    stage.removeEventListener("pointerup", end);
    const [x2, y2] = pixels(last);
    if (Math.abs(x2 - x) > 3 && Math.abs(y2 - y) > 3) return add([x, y, x2, y2]);
    chosen = boxes.findIndex(([l, t, r, b]) => x >= l && x < r && y >= t && y < b);
    draw();
  };
  stage.addEventListener("pointerup", end);
});

/** Puts a question into the form; null begins a new one. */
function edit(line) {
  id = line?.id ?? null;
  question.value = line?.question ?? "";
  answers.value = (line?.answers ?? []).join("\n");
  boxes = (line?.nested ?? line?.boxes ?? []).map((box) => [...box]);
  chosen = -1;
  sorted();
  changed = false;
  at("remove").disabled = id === null;
  draw();
}

async function list() {
  const of = shown.name;
  const lines = await ask(`/api/questions?image=${encodeURIComponent(of)}`);
  if (shown.name !== of) return;
  shown.questions = lines.length;
  label(shown);
  at("questions").replaceChildren(
    ...lines.map((line) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${line.question} ${line.answers.join(" / ")}`;
      button.addEventListener("click", () => guarded(async () => {
        await keep();
        edit(line);
        question.focus();
      }));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
}

function label(of) {
  const option = at("pictures").options[pictures.indexOf(of)];
  if (option) option.textContent = of.questions ? `${of.name} (${of.questions})` : of.name;
}

async function save() {
  const body = {
    image: shown.name,
    question: question.value,
    answers: answers.value.split("\n"),
    nested: boxes,
  };
  if (id !== null) body.id = id;
  const line = await ask("/api/questions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  say(`Saved ${line.id}.`);
  edit(null);
  await list();
}

/** Whether something would be lost. */
const unsaved = () => changed && (question.value.trim() !== "" || boxes.length > 0);

/** Saves what has been changed, before another question or picture takes its place; boxes without a question are refused. */
async function keep() {
  if (unsaved()) await save();
}

async function show(index) {
  const next = pictures[index];
  if (!next || next === shown) return;
  await keep();
  shown = next;
  at("pictures").selectedIndex = index;
  picture.alt = shown.name;
  picture.src = `/picture/${encodeURIComponent(shown.name)}`;
  edit(null);
  await list();
}

/** Says what went wrong in place of being silent. */
async function guarded(work) {
  try {
    await work();
  } catch (error) {
    say(error.message, true);
    if (shown) at("pictures").selectedIndex = pictures.indexOf(shown);
  }
}

picture.addEventListener("error", () => guarded(async () => {
  // The sentence why stands in the reply that the picture could not be read from.
  await ask(picture.getAttribute("src"));
}));
for (const field of [question, answers]) field.addEventListener("input", () => { changed = true; });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(async () => {
    await save();
    question.focus();
  });
});
at("fresh").addEventListener("click", () => guarded(async () => {
  await keep();
  edit(null);
  question.focus();
}));
at("remove").addEventListener("click", () => guarded(async () => {
  const gone = id;
  await ask(`/api/questions/${encodeURIComponent(gone)}`, { method: "DELETE" });
  say(`Deleted ${gone}.`);
  edit(null);
  await list();
  question.focus();
}));
at("pictures").addEventListener("change", (event) => guarded(() => show(event.target.selectedIndex)));
document.addEventListener("keydown", (event) => {
  const by = { PageUp: -1, PageDown: 1 }[event.key];
  if (by) {
    event.preventDefault();
    guarded(() => show(pictures.indexOf(shown) + by));
  } else if (event.key === "Escape") {
    (document.activeElement === stage ? question : stage).focus();
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit();
  }
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved()) event.preventDefault();
});

guarded(async () => {
  const found = await ask("/api/pictures");
  pictures = found.pictures;
  at("out").textContent = found.out;
  at("pictures").replaceChildren(...pictures.map(() => document.createElement("option")));
  pictures.forEach(label);
  if (found.skipped.length) {
    at("skipped").hidden = false;
    at("skipped").textContent = `Left out: ${found.skipped.map((s) => `${s.name} (${s.reason})`).join("; ")}`;
  }
  await show(0);
  question.focus();
});
